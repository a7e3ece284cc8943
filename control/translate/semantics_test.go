package translate

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// routed renders the http rules of a VirtualService for a client: one line
// per route, its match and where it goes.
func routed(t *testing.T, a Audience, rules string) []string {
	t.Helper()
	spec := &networking.VirtualService{}
	must(t, spec.UnmarshalJSON([]byte(`{"hosts": ["a"], "http": `+rules+`}`)))
	if a.Mesh == nil {
		a.Mesh = &mesh.Config{}
	}
	two := &model.Service{Host: "two.ns", Ports: []model.Port{{Number: 81}, {Number: 82}}}
	one := &model.Service{Host: "one.ns", Ports: []model.Port{{Number: 9000}}}
	vs := &mesh.VirtualService{Meta: mesh.Meta{Namespace: "ns", Name: "vs"}, Spec: spec}
	var out []string
	for _, r := range httpRoutes(routeInput{Audience: a, Port: 80, VirtualService: vs,
		Destinations: Destinations{"one.ns": {Service: one}, "two.ns": {Service: two}}}) {
		out = append(out, r.Name+r.Match.GetPrefix()+r.Match.GetPath()+r.Match.GetSafeRegex().GetRegex()+" "+r.GetRoute().GetCluster())
	}
	return out
}

func TestRoutes(t *testing.T) {
	a := Audience{Namespace: "client", Labels: map[string]string{"app": "web", "v": "1"}}
	for _, test := range []struct {
		claim, rules string
		want         []string
	}{
		{"there is one route per match entry, in the order of the list",
			`[{"match": [{"uri": {"prefix": "/b"}}, {"uri": {"exact": "/a"}}], "route": [{"destination": {"host": "one.ns"}}]},
			  {"match": [{"uri": {"regex": "/c.*"}}], "route": [{"destination": {"host": "one.ns"}}]}]`,
			[]string{"/b outbound|9000||one.ns", "/a outbound|9000||one.ns", "/c.* outbound|9000||one.ns"}},
		{"a rule without conditions cuts the rest",
			`[{"name": "all", "route": [{"destination": {"host": "one.ns"}}]}, {"name": "never", "route": [{"destination": {"host": "one.ns"}}]}]`,
			[]string{"all/ outbound|9000||one.ns"}},
		{"the regular expression .* takes everything too",
			`[{"match": [{"uri": {"regex": ".*"}}, {"uri": {"exact": "/a"}}], "route": [{"destination": {"host": "one.ns"}}]}]`,
			[]string{".* outbound|9000||one.ns"}},
		{"a prefix / with another condition does not",
			`[{"match": [{"uri": {"prefix": "/"}, "headers": {"x": {}}}], "route": [{"destination": {"host": "one.ns"}}]},
			  {"route": [{"destination": {"host": "two.ns", "port": {"number": 82}}}]}]`,
			[]string{"/ outbound|9000||one.ns", "/ outbound|82||two.ns"}},
		{"without a port it is the service's only one, else the listener's",
			`[{"match": [{"uri": {"exact": "/1"}}], "route": [{"destination": {"host": "one.ns"}}]},
			  {"route": [{"destination": {"host": "two.ns", "subset": "v1"}}]}]`,
			[]string{"/1 outbound|9000||one.ns", "/ outbound|80|v1|two.ns"}},
		{"an unknown destination is a cluster that does not exist",
			`[{"route": [{"destination": {"host": "nobody.ns"}}]}]`,
			[]string{"/ outbound|80||nobody.ns"}},
		{"conditions on the source and the port are decided here",
			`[{"match": [{"name": "labels", "sourceLabels": {"app": "other"}}, {"name": "namespace", "sourceNamespace": "other"},
			             {"name": "port", "port": 81}, {"name": "gateway", "gateways": ["ns/gw"]},
			             {"name": "all", "sourceLabels": {"app": "web"}, "sourceNamespace": "client", "port": 80, "gateways": ["ns/gw", "mesh"]}],
			   "route": [{"destination": {"host": "one.ns"}}]}]`,
			[]string{"all/ outbound|9000||one.ns"}},
	} {
		if diff := gocmp.Diff(test.want, routed(t, a, test.rules)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.claim, diff)
		}
	}
}

// On a gateway, matches for the mesh do not count and those for it do, also
// under its bare name.
func TestRoutesOfGateway(t *testing.T) {
	got := routed(t, Audience{Gateway: "ns/gw"},
		`[{"match": [{"name": "mesh", "gateways": ["mesh"]}, {"name": "bare", "gateways": ["gw"]}], "route": [{"destination": {"host": "one.ns"}}]}]`)
	if want := []string{"bare/ outbound|9000||one.ns"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRetryPolicy(t *testing.T) {
	for _, test := range []struct {
		claim string
		mesh  *mesh.Config
		user  *networking.HTTPRetry
		hash  bool
		want  string // retry_on, tries, codes
	}{
		{claim: "by default two more tries, elsewhere", want: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes 2 [] elsewhere"},
		{claim: "hashed requests stay on their host", hash: true, want: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes 2 []"},
		{claim: "no attempts, no policy", user: &networking.HTTPRetry{}, want: "none"},
		{claim: "the mesh's default comes before ours",
			mesh: &mesh.Config{DefaultHttpRetryPolicy: &networking.HTTPRetry{Attempts: 1, RetryOn: "5xx"}}, want: "5xx 1 [] elsewhere"},
		{claim: "the user's comes before the mesh's", user: &networking.HTTPRetry{Attempts: 3, RetryOn: "reset, 503,retriable-status-codes"},
			mesh: &mesh.Config{DefaultHttpRetryPolicy: &networking.HTTPRetry{Attempts: 1}}, want: "reset,retriable-status-codes 3 [503] elsewhere"},
	} {
		got := "none"
		if p := retryPolicy(test.mesh, test.user, test.hash); p != nil {
			got = fmt.Sprint(p.RetryOn, " ", p.NumRetries.Value, " ", p.RetriableStatusCodes)
			if len(p.RetryHostPredicate) > 0 {
				got += " elsewhere"
			}
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.claim, got, test.want)
		}
	}
}

// Of two hosts with one domain the first keeps it; a host without a domain
// left is not there.
func TestDomainsAreUnique(t *testing.T) {
	a := Audience{Mesh: &mesh.Config{}}
	got := OutboundRoute(a, "80", []*route.VirtualHost{
		{Name: "z", Domains: []string{"a", "B"}}, {Name: "y", Domains: []string{"b", "c"}}, {Name: "x", Domains: []string{"C"}}, nil})
	var hosts []string
	for _, h := range got.VirtualHosts {
		hosts = append(hosts, h.Name+" "+strings.Join(h.Domains, " "))
	}
	if want := []string{"allow_any *", "y c", "z a B"}; !slices.Equal(hosts, want) {
		t.Errorf("got %q, want %q", hosts, want)
	}
}

// The client's namespace decides whether a bare name reaches the service.
func TestDomains(t *testing.T) {
	svc := &model.Service{Host: "a.ns.svc.cluster.local", Name: "a", Namespace: "ns", Kubernetes: true, Addresses: []string{"10.0.0.1", "fd00::1", "10.0.0.0/8"}}
	headless := &model.Service{Host: "h.ns.svc.cluster.local", Name: "h", Namespace: "ns", Kubernetes: true}
	for _, test := range []struct {
		in   HostInput
		want string
	}{
		{HostInput{Audience: Audience{Namespace: "ns"}, Service: svc, Port: 80},
			"a.ns.svc.cluster.local a.ns.svc.cluster.local. a.ns.svc a.ns a 10.0.0.1 [fd00::1]"},
		{HostInput{Audience: Audience{Namespace: "other"}, Service: svc, Port: 80},
			"a.ns.svc.cluster.local a.ns.svc.cluster.local. a.ns.svc a.ns 10.0.0.1 [fd00::1]"},
		{HostInput{Audience: Audience{Namespace: "other"}, Service: headless, Port: 80},
			"h.ns.svc.cluster.local h.ns.svc.cluster.local. h.ns.svc h.ns *.h.ns.svc.cluster.local *.h.ns.svc.cluster.local. *.h.ns.svc *.h.ns"},
		{HostInput{Audience: Audience{Namespace: "other"}, Service: svc, Port: 80, Route: SniffedRoute(svc.Host, 80)}, "*"},
	} {
		if got := strings.Join(domains(test.in, test.in.Service.Host), " "); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// Equal inputs make equal bytes, however often they are asked for.
func TestDeterministic(t *testing.T) {
	story, err := os.ReadFile("testdata/routing.txtar")
	must(t, err)
	_, input, _ := strings.Cut(string(story), "-- input.yaml --\n")
	input, _, _ = strings.Cut(input, "\n-- ")
	render := func() string {
		w := newWorld(t, input)
		var b strings.Builder
		for _, r := range w.routes() {
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
			must(t, err)
			b.Write(raw)
		}
		for _, c := range w.clusters() {
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
			must(t, err)
			b.Write(raw)
		}
		return b.String()
	}
	first := render()
	for range 20 {
		if render() != first {
			t.Fatal("two translations of one input differ")
		}
	}
}

// Istio's default line, byte for byte.
func TestDefaultLogFormat(t *testing.T) {
	const want = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"
	got := logFormat(&mesh.Config{AccessLogFile: "/dev/stdout"}).GetTextFormatSource().GetInlineString()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := logFormat(&mesh.Config{AccessLogFormat: "%START_TIME%"}).GetTextFormatSource().GetInlineString(); got != "%START_TIME%\n" {
		t.Errorf("a user's format gets a line end: got %q", got)
	}
	fields := logFormat(&mesh.Config{AccessLogEncoding: meshconfig.MeshConfig_JSON}).GetJsonFormat().GetFields()
	if len(fields) != 24 {
		t.Errorf("got %d JSON fields, want 24", len(fields))
	}
}

// A gateway's credentials are served as certificate and CA, by name.
func TestGatewaySecrets(t *testing.T) {
	s := mesh.Secret{Cert: []byte("cert"), Key: []byte("key"), CA: []byte("ca"), CRL: []byte("crl")}
	if got := GatewaySecret("kubernetes://a", s).GetTlsCertificate(); string(got.CertificateChain.GetInlineBytes()) != "cert" ||
		string(got.PrivateKey.GetInlineBytes()) != "key" {
		t.Errorf("got %v, want the certificate and its key", got)
	}
	if got := GatewaySecret("kubernetes://a-cacert", s).GetValidationContext(); string(got.TrustedCa.GetInlineBytes()) != "ca" ||
		string(got.Crl.GetInlineBytes()) != "crl" {
		t.Errorf("got %v, want the CA and its list", got)
	}
}
