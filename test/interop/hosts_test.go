package interop

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/envoyjson"
)

// host is a virtual host whose answer is told. It is named like its resource: Envoy takes
// away by the one what it was told by the other.
func host(domain, answer string) string {
	return fmt.Sprintf(`{name: "web/%[1]s", domains: [%[1]q], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %[2]s}}}]}`, domain, answer)
}

// post gives the status and the body that a host answers with.
func post(address, host string, body io.Reader) (string, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+address, body)
	if err != nil {
		return "", err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, text), err
}

// Virtual hosts come and go by themselves, beside those that the routes have.
func TestVirtualHosts(t *testing.T) {
	inWays(t, []string{"DELTA_GRPC", "ADS DELTA_GRPC"}, followHosts)
}

func followHosts(t *testing.T, p *plane, run runner) {
	table := func(answer string) {
		p.tell(resource.RouteType, "web", fmt.Sprintf(`{name: web, vhds: {config_source: %s}, virtual_hosts: [%s]}`, p.source(resource.VirtualHostType), host("own.test", answer)))
	}
	address := freeAddress(t)
	run(t, p.bootstrap(web{
		name: "web", address: address,
		routing: fmt.Sprintf("rds: {route_config_name: web, config_source: %s}", p.source(resource.RouteType)),
	}.String(), ""))
	p.tell(resource.VirtualHostType, "web/told.test", host("told.test", "told"))
	p.tell(resource.VirtualHostType, "other/alien.test", host("alien.test", "alien"))
	table("own")
	waitFor(t, address)
	answers := func(name, want string) {
		t.Helper()
		eventually(t, func() error {
			if got, err := post(address, name, nil); err != nil || got != want {
				return fmt.Errorf("%s: got %s, %v; want %s", name, got, err, want)
			}
			return nil
		})
	}
	answers("own.test", "200 own")
	answers("told.test", "200 told")
	answers("alien.test", "404 ")
	answers("late.test", "404 ")
	p.tell(resource.VirtualHostType, "web/late.test", host("late.test", "late"))
	answers("late.test", "200 late")
	p.tell(resource.VirtualHostType, "web/told.test", host("told.test", "anew"))
	answers("told.test", "200 anew")
	table("still")
	answers("own.test", "200 still")
	answers("late.test", "200 late")
	p.drop(resource.VirtualHostType, "web/told.test")
	answers("told.test", "404 ")
	answers("own.test", "200 still")
}

// A host that nobody has heard of is asked for by the request that goes there, which
// waits for it; one that there is not is answered for. Envoy does the same.
func TestHostsOnDemand(t *testing.T) {
	t.Run("ours", func(t *testing.T) { demandHosts(t, runOurs) })
	t.Run("Envoy", func(t *testing.T) { demandHosts(t, runEnvoy) })
}

// teller is a control plane that tells virtual hosts to who asks for them by name.
type teller struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	table string
	// hosts has what is told by the name that is asked for; those that are missing are
	// told to be missing, with an empty one nothing is told.
	hosts map[string]string
	// named is the name of a virtual host that is asked for by another one.
	named map[string]string
}

func (c *teller) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for n := 0; ; n++ {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		if r.GetResponseNonce() != "" {
			continue
		}
		out := &discovery.DeltaDiscoveryResponse{TypeUrl: r.GetTypeUrl(), Nonce: fmt.Sprint(n)}
		for _, name := range r.GetResourceNamesSubscribe() {
			var m proto.Message = &routev3.VirtualHost{}
			text, found := c.hosts[name]
			if r.GetTypeUrl() == resource.RouteType {
				m, text, found = &routev3.RouteConfiguration{}, c.table, true
			}
			told := &discovery.Resource{Name: name, Version: "1", Aliases: []string{name}}
			if other := c.named[name]; other != "" {
				told.Name = other
			}
			switch {
			case name == "*" || found && text == "":
				continue
			case found:
				if err := envoyjson.Unmarshal([]byte(text), m); err != nil {
					return err
				}
				if told.Resource, err = anypb.New(m); err != nil {
					return err
				}
			}
			out.Resources = append(out.Resources, told)
		}
		if err := s.Send(out); err != nil {
			return err
		}
	}
}

func demandHosts(t *testing.T, run runner) {
	c := &teller{
		table: "{name: web, vhds: {config_source: {resource_api_version: V3, initial_fetch_timeout: 1s, ads: {}}}, virtual_hosts: [" + host("own.test", "own") + "]}",
		hosts: map[string]string{"web/a.test": host("a.test", "a"), "web/b.test": host("b.test", "b"), "web/port.test:81": host("port.test:81", "port"), "web/silent.test": ""},
		named: map[string]string{"web/b.test": "web/b"},
	}
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, c)
	control := serveGRPC(t, g)
	bootstrap := func(address, filters string) string {
		return "node: {id: me, cluster: us}\ndynamic_resources: {ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}\n" + static(web{
			name: "web", address: address, filters: filters, manager: "stream_idle_timeout: 1s",
			routing: "rds: {route_config_name: web, config_source: {resource_api_version: V3, ads: {}}}",
		}.String(), upstream("xds", control, speakHTTP2))
	}
	answer := func(address, name, want string, body io.Reader) {
		t.Helper()
		if got, err := post(address, name, body); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
	}
	address := freeAddress(t)
	run(t, bootstrap(address, fmt.Sprintf(`
- {name: mark, typed_config: {"@type": %sheader_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-mark, value: mark}}}]}}}
- {name: demand, typed_config: {"@type": %son_demand.v3.OnDemand}}`, httpFilters, httpFilters)))
	waitFor(t, address)
	answer(address, "own.test", "200 own", nil)
	for range 2 {
		answer(address, "a.test", "200 a", nil)
		answer(address, "B.test", "200 b", strings.NewReader("content"))
		answer(address, "none.test", "404 ", nil)
		answer(address, "port.test:81", "200 port", nil)
	}
	start := time.Now()
	answer(address, "silent.test", "504 stream timeout", nil)
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("was given up after %v", took)
	}
	// Nobody asks where the filter is not.
	address = freeAddress(t)
	run(t, bootstrap(address, ""))
	waitFor(t, address)
	answer(address, "own.test", "200 own", nil)
	answer(address, "a.test", "404 ", nil)
}
