package interop

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// balance is a cluster, and how many requests its endpoints get are compared.
type balance struct {
	name string
	// cluster are fields of the cluster, endpoints those of its load assignment.
	cluster, endpoints string
	// keyed sends a key with each request and compares where each key goes.
	keyed bool
	// none is true where requests are refused.
	none bool
	// route are further fields of the route's action.
	route string
}

// spare are the requests that each balance gets, and tolerance is how far shares of
// them may be apart: five times what chance makes of them.
const (
	spare     = 1200
	tolerance = 0.1
)

// numbered are backends that answer with their number.
type numbered []string

func newNumbered(t *testing.T, n int) numbered {
	var ports numbered
	for i := range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/degraded" && i%2 == 0:
				w.Header().Set("x-envoy-degraded", "1")
			case strings.HasPrefix(r.URL.Path, "/retried") && i == 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case strings.HasPrefix(r.URL.Path, "/limited"):
				time.Sleep(slow)
			case r.URL.Path == "/half" && i%2 == 0, r.URL.Path == "/host" && r.Host != "well":
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			w.Header().Set("X-Number", fmt.Sprint(i))
		}))
		t.Cleanup(s.Close)
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

// at is an endpoint; more are further fields of it.
func (n numbered) at(i int, more ...string) string {
	return fmt.Sprintf("{endpoint: {address: %s, hostname: host-%d}%s}", socketAddress(n[i]), i, strings.Join(append([]string{""}, more...), ", "))
}

// group is a locality of endpoints.
func group(fields string, endpoints ...string) string {
	return fmt.Sprintf("{%slb_endpoints: [%s]}", fields, strings.Join(endpoints, ", "))
}

// The same endpoints get the same shares of requests as with Envoy, and the same
// keys go to the same endpoints.
func TestBalancesAsEnvoy(t *testing.T) {
	ports := newNumbered(t, 8)
	all := append(balances(ports), namedBalances(t, ports)...)
	theirs, ours := both(t, balanced(all))
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			want, got := theirs.spread(t, b), ours.spread(t, b)
			if b.keyed {
				apart := 0
				for i := range got {
					if got[i] != want[i] {
						apart++
					}
				}
				if apart > 0 {
					t.Errorf("%d of %d keys go elsewhere; at first ours %q, Envoy's %q", apart, len(got), got[:8], want[:8])
				}
				return
			}
			shares, theirShares := sharesOf(got), sharesOf(want)
			for i := range ports {
				if n := fmt.Sprint(i); math.Abs(shares[n]-theirShares[n]) > tolerance {
					t.Errorf("ours %v, Envoy's %v", shares, theirShares)
					break
				}
			}
			if math.Abs(shares[""]-theirShares[""]) > tolerance {
				t.Errorf("not answered: ours %v, Envoy's %v", shares, theirShares)
			}
		})
	}
}

func sharesOf(list []string) map[string]float64 {
	out := map[string]float64{}
	for _, n := range list {
		out[n] += 1 / float64(len(list))
	}
	return out
}

// spread tells where requests went, one by one.
func (p *peer) spread(t *testing.T, b balance) []string {
	client := http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	ask := func(i int) (string, int) {
		r, _ := http.NewRequest("GET", "http://"+p.address+"/"+b.name, nil)
		r.Header.Set("X-Key", fmt.Sprint("key-", i))
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header.Get("X-Number"), resp.StatusCode
	}
	// Endpoints may not have answered health checks yet.
	for end := time.Now().Add(5 * time.Second); !b.none && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, status := ask(0); status == 200 {
			break
		}
	}
	if strings.Contains(b.cluster, "health_checks") {
		time.Sleep(500 * time.Millisecond) // until all have
	}
	n := spare
	if b.keyed {
		n = 200
	}
	var out []string
	for i := range n {
		number, _ := ask(i)
		out = append(out, number)
	}
	return out
}

// anybody is where the proxies are said to be: nobody calls them.
var anybody = numbered{"1", "2", "3", "4"}

// balanced is a bootstrap with a path and a cluster for each.
func balanced(all []balance) func(*peer) string {
	var routes, clusters strings.Builder
	fmt.Fprintf(&clusters, "  - {name: proxies, type: STATIC, load_assignment: {cluster_name: proxies, endpoints: [%s, %s]}}\n",
		group("locality: {zone: a}, ", anybody.at(0), anybody.at(1)), group("locality: {zone: b}, ", anybody.at(2), anybody.at(3)))
	for _, b := range all {
		route := b.route
		if !strings.Contains(route, "hash_policy") {
			route += ", hash_policy: [{header: {header_name: x-key}}]"
		}
		fmt.Fprintf(&routes, "- {match: {path: /%s}, route: {cluster: %s%s}}\n", b.name, b.name, route)
		cluster := b.cluster
		if !strings.Contains(cluster, "type: ") {
			cluster = "type: STATIC\n" + cluster
		}
		fmt.Fprintf(&clusters, "  - name: %s\n    connect_timeout: 5s\n%s\n    load_assignment: {cluster_name: %s, %s}\n", b.name, indent(cluster, "    "), b.name, b.endpoints)
	}
	return func(p *peer) string {
		return "node: {id: test, cluster: proxies, locality: {zone: a}}\ncluster_manager: {local_cluster_name: proxies}" +
			static(web{name: "web", address: p.address, routes: routes.String()}.String(), clusters.String())
	}
}

// As many requests at once have a connection as with Envoy; the others wait.
func TestConnectionLimitsAsEnvoy(t *testing.T) {
	t.Parallel() // it mostly waits
	ports := newNumbered(t, 2)
	one, two := "endpoints: ["+group("", ports.at(0))+"]", "endpoints: ["+group("", ports.at(0), ports.at(1))+"]"
	all := []balance{
		{name: "limited-not", endpoints: one},
		{name: "limited", cluster: "circuit_breakers: {thresholds: [{max_connections: 2}]}", endpoints: one},
		{name: "limited-per-host", cluster: "circuit_breakers: {per_host_thresholds: [{max_connections: 2}]}", endpoints: one},
		{name: "limited-per-host-of-two", cluster: "circuit_breakers: {per_host_thresholds: [{max_connections: 1}]}", endpoints: two},
		{name: "limited-both", cluster: "circuit_breakers: {thresholds: [{max_connections: 1}], per_host_thresholds: [{max_connections: 5}]}", endpoints: two},
	}
	theirs, ours := both(t, balanced(all))
	for _, b := range all {
		if got, want := ours.rounds(t, b.name), theirs.rounds(t, b.name); got != want {
			t.Errorf("%s: %d rounds; Envoy takes %d", b.cluster, got, want)
		}
	}
}

// slow is how long an endpoint takes for a request to a limited cluster.
const slow = 500 * time.Millisecond

// rounds tells how often endpoints were used one after the other for eight requests
// at once.
func (p *peer) rounds(t *testing.T, path string) int {
	start := time.Now()
	statuses := make(chan int)
	const many = 8
	for range many {
		go func() { statuses <- p.status(t, path) }()
	}
	for range many {
		if s := <-statuses; s != 200 {
			t.Errorf("%s: %s answered %d", path, p.name, s)
		}
	}
	return int(time.Since(start) / slow)
}
