package interop

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extensionservice "github.com/envoyproxy/go-control-plane/envoy/service/extension/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/envoyjson"
)

// made gives for each type of resource an empty one.
var made = map[string]func() proto.Message{
	resource.ExtensionConfigType: func() proto.Message { return &corev3.TypedExtensionConfig{} },
	resource.RouteType:           func() proto.Message { return &routev3.RouteConfiguration{} },
	resource.VirtualHostType:     func() proto.Message { return &routev3.VirtualHost{} },
	resource.ScopedRouteType:     func() proto.Message { return &routev3.ScopedRouteConfiguration{} },
}

// A plane has resources of all types, and tells them in one way.
type plane struct {
	t   *testing.T
	way string
	// files have the resources of a type where these come from files.
	files   *folder
	had     map[string]map[string]string
	version int
	// caches have them where they come from a server, at address; those of which
	// always all are told are in whole.
	caches  map[string]*cache.LinearCache
	whole   cache.SnapshotCache
	address string
}

// ways are how resources come: from files, by the service of their type, and over
// the aggregated stream, in both variants.
var ways = []string{"file", "GRPC", "DELTA_GRPC", "ADS GRPC", "ADS DELTA_GRPC"}

func newPlane(t *testing.T, way string) *plane {
	t.Helper()
	p := &plane{t: t, way: way, had: map[string]map[string]string{}, caches: map[string]*cache.LinearCache{}}
	if way == "file" {
		p.files = &folder{dir: t.TempDir()}
		return p
	}
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{},
	}
	p.whole = cache.NewSnapshotCache(false, cache.IDHash{}, nil)
	mux.Caches[resource.ScopedRouteType] = p.whole
	for url := range made {
		if url == resource.ScopedRouteType {
			continue
		}
		p.caches[url] = cache.NewLinearCache(url)
		mux.Caches[url] = p.caches[url]
	}
	g := grpc.NewServer()
	s := server.NewServer(t.Context(), mux, nil)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, s)
	routeservice.RegisterRouteDiscoveryServiceServer(g, s)
	routeservice.RegisterVirtualHostDiscoveryServiceServer(g, s)
	routeservice.RegisterScopedRoutesDiscoveryServiceServer(g, s)
	extensionservice.RegisterExtensionConfigDiscoveryServiceServer(g, s)
	p.address = serveGRPC(t, g)
	return p
}

// tell sets a resource, which is YAML.
func (p *plane) tell(url, name, text string) {
	p.t.Helper()
	if p.had[url] == nil {
		p.had[url] = map[string]string{}
	}
	p.had[url][name] = text
	if p.files != nil {
		p.write(url)
		return
	}
	if p.caches[url] == nil {
		p.tellAll(url)
	} else if err := p.caches[url].UpdateResource(name, p.resource(url, text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) resource(url, text string) types.Resource {
	p.t.Helper()
	m := made[url]()
	if err := envoyjson.Unmarshal([]byte(text), m); err != nil {
		p.t.Fatal(err)
	}
	return m
}

// tellAll sets all resources of a type.
func (p *plane) tellAll(url string) {
	p.t.Helper()
	var all []types.Resource
	for _, text := range p.had[url] {
		all = append(all, p.resource(url, text))
	}
	p.version++
	s, err := cache.NewSnapshot(fmt.Sprint(p.version), map[resource.Type][]types.Resource{url: all})
	if err == nil {
		err = p.whole.SetSnapshot(context.Background(), "me", s)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// drop takes a resource away.
func (p *plane) drop(url, name string) {
	p.t.Helper()
	delete(p.had[url], name)
	if p.files != nil {
		p.write(url)
	} else if p.caches[url] == nil {
		p.tellAll(url)
	} else if err := p.caches[url].DeleteResource(name); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) write(url string) {
	p.t.Helper()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(p.had[url])) {
		list = append(list, fmt.Sprintf(`{"@type": %s, %s`, url, strings.TrimPrefix(strings.TrimSpace(p.had[url][name]), "{")))
	}
	p.version++
	p.files.put(p.t, file(url), fmt.Sprintf("{version_info: v%d, resources: [%s]}", p.version, strings.Join(list, ",\n")))
}

func file(url string) string { return url[strings.LastIndexByte(url, '.')+1:] + ".yaml" }

// source is where resources of a type come from.
func (p *plane) source(url string) string {
	switch {
	case p.files != nil:
		return p.files.source(file(url))
	case strings.HasPrefix(p.way, "ADS"):
		return "{resource_api_version: V3, initial_fetch_timeout: 0s, ads: {}}"
	default:
		return fmt.Sprintf("{resource_api_version: V3, initial_fetch_timeout: 0s, api_config_source: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}", p.way)
	}
}

// bootstrap has static listeners and clusters beside what is told.
func (p *plane) bootstrap(listeners, clusters string) string {
	text := "node: {id: me, cluster: us}\n"
	if variant, aggregated := strings.CutPrefix(p.way, "ADS "); aggregated {
		text += fmt.Sprintf("dynamic_resources: {ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}\n", variant)
	}
	if p.address != "" {
		clusters += upstream("xds", p.address, speakHTTP2)
	}
	return text + static(listeners, clusters)
}

// everyWay runs a test for Envoy and for our proxy in each way.
func everyWay(t *testing.T, test func(*testing.T, *plane, runner)) { inWays(t, ways, test) }

func inWays(t *testing.T, ways []string, test func(*testing.T, *plane, runner)) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Run("ours", func(t *testing.T) { test(t, newPlane(t, way), runOurs) })
			t.Run("Envoy", func(t *testing.T) { test(t, newPlane(t, way), runEnvoy) })
		})
	}
}

// A filter's configuration comes by itself and changes while its connections go on;
// what routes say of the filter stays in force. One of another type is refused.
func TestFilterConfigurations(t *testing.T) { everyWay(t, followFilter) }

func followFilter(t *testing.T, p *plane, run runner) {
	const url = resource.ExtensionConfigType
	mutation := func(value string) {
		p.tell(url, "mark", fmt.Sprintf(`{name: mark, typed_config: {"@type": %sheader_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-mark, value: %s}}}]}}}`, httpFilters, value))
	}
	if p.files != nil {
		mutation("one")
	}
	address := freeAddress(t)
	run(t, p.bootstrap(web{
		name: "web", address: address,
		filters: fmt.Sprintf(`
- name: spare
  config_discovery:
    config_source: %s
    apply_default_config_without_warming: true
    default_config: {"@type": %sheader_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-spare, value: default}}}]}}
    type_urls: [%[2]sheader_mutation.v3.HeaderMutation]
- name: mark
  config_discovery: {config_source: %[1]s, type_urls: [%[2]sheader_mutation.v3.HeaderMutation]}`, p.source(url), httpFilters),
		routes: fmt.Sprintf(`
- match: {prefix: /own}
  direct_response: {status: 200}
  typed_per_filter_config: {mark: {"@type": %sheader_mutation.v3.HeaderMutationPerRoute, mutations: {response_mutations: [{append: {header: {key: x-own, value: route}}}]}}}
- {match: {prefix: /never}, direct_response: {status: 200}, typed_per_filter_config: {mark: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}}
- {match: {prefix: /}, direct_response: {status: 200}}`, httpFilters),
	}.String(), ""))
	if p.files == nil {
		nobodyListens(t, address)
		mutation("one")
	}
	waitFor(t, address)
	client := &http.Client{Transport: &http.Transport{}}
	reused := false
	answers := func(path, want string) {
		t.Helper()
		eventually(t, func() error {
			trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
			req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "http://"+address+path, nil)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body)
			h := resp.Header
			if got := fmt.Sprintf("%d%s%s%s", resp.StatusCode, h["X-Mark"], h["X-Own"], h["X-Spare"]); got != want {
				return fmt.Errorf("%s: got %s, want %s", path, got, want)
			}
			return nil
		})
	}
	answers("/", "200[one][][default]")
	answers("/own", "200[one][route][default]")
	answers("/never", "200[][][default]")
	mutation("two")
	answers("/", "200[two][][default]")
	answers("/own", "200[two][route][default]")
	if !reused {
		t.Error("the connection has been replaced with the configuration")
	}
	p.tell(url, "mark", fmt.Sprintf(`{name: mark, typed_config: {"@type": %sbuffer.v3.Buffer, max_request_bytes: 1}}`, httpFilters))
	time.Sleep(300 * time.Millisecond)
	answers("/", "200[two][][default]")
	mutation("three")
	answers("/", "200[three][][default]")
	if p.files != nil {
		return // a file of this type has one resource in Envoy, and none is refused
	}
	p.tell(url, "spare", fmt.Sprintf(`{name: spare, typed_config: {"@type": %sheader_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-spare, value: told}}}]}}}`, httpFilters))
	answers("/", "200[three][][told]")
	if !strings.Contains(p.way, "DELTA") {
		return // the state of the world does not take filters' configurations away
	}
	p.drop(url, "spare")
	answers("/", "200[three][][default]")
	p.drop(url, "mark")
	answers("/", "500[][][default]")
	mutation("four")
	answers("/", "200[four][][default]")
}

// Requests go by the routes of their scope, which come and go; a scope whose routes
// are not there, and a request without a scope, are answered 404.
func TestScopedRoutes(t *testing.T) { everyWay(t, followScopes) }

func followScopes(t *testing.T, p *plane, run runner) {
	table := func(name, answer string) string {
		return fmt.Sprintf(`{name: %s, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %s}}}]}]}`, name, answer)
	}
	scope := func(name, key, routes string) {
		p.tell(resource.ScopedRouteType, name, fmt.Sprintf(`{name: %s, key: {fragments: [{string_key: %s}]}, %s}`, name, key, routes))
	}
	tell := func() {
		p.tell(resource.RouteType, "r1", table("r1", "one"))
		scope("one", "a", "route_configuration_name: r1")
		scope("two", "b", "route_configuration: "+table("r2", "two"))
	}
	if p.files != nil {
		tell()
	}
	address := freeAddress(t)
	run(t, p.bootstrap(web{
		name: "web", address: address,
		routing: fmt.Sprintf(`
scoped_routes:
  name: tenants
  scope_key_builder: {fragments: [{header_value_extractor: {name: x-tenant, element_separator: ";", element: {separator: "=", key: t}}}]}
  rds_config_source: %s
  scoped_rds: {scoped_rds_config_source: %s}`, p.source(resource.RouteType), p.source(resource.ScopedRouteType)),
	}.String(), ""))
	if p.files == nil {
		nobodyListens(t, address)
		tell()
	}
	waitFor(t, address)
	answers := func(tenant, want string) {
		t.Helper()
		eventually(t, func() error {
			req, err := http.NewRequest(http.MethodGet, "http://"+address, nil)
			if err != nil {
				return err
			}
			if tenant != "" {
				req.Header.Set("x-tenant", "n=1;t="+tenant+";t=b")
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if got := fmt.Sprintf("%d %s", resp.StatusCode, body); got != want {
				return fmt.Errorf("tenant %q: got %s, want %s", tenant, got, want)
			}
			return nil
		})
	}
	answers("a", "200 one")
	answers("b", "200 two")
	answers("c", "404 ")
	answers("", "404 ")
	p.tell(resource.RouteType, "r1", table("r1", "uno"))
	answers("a", "200 uno")
	scope("three", "c", "route_configuration: "+table("r3", "three"))
	answers("c", "200 three")
	scope("one", "d", "route_configuration_name: r1")
	answers("d", "200 uno")
	answers("a", "404 ")
	scope("four", "b", "route_configuration: "+table("r4", "four"))
	time.Sleep(300 * time.Millisecond)
	answers("b", "200 two")
	p.drop(resource.ScopedRouteType, "four")
	p.drop(resource.ScopedRouteType, "two")
	answers("b", "404 ")
	answers("d", "200 uno")
	if p.files != nil {
		return // a file of routes has one resource in Envoy
	}
	scope("five", "e", "route_configuration_name: r5")
	scope("six", "f", "route_configuration: "+table("r6", "six"))
	answers("f", "200 six")
	answers("e", "404 ")
	p.tell(resource.RouteType, "r5", table("r5", "five"))
	answers("e", "200 five")
}
