package extauthz

import (
	"crypto/x509"
	"encoding/binary"
	"net/netip"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// answering is a gRPC service with one answer, which keeps the question.
type answering struct {
	answer proto.Message // nil: it fails
	asked  authv3.CheckRequest
	calls  int
}

func (a *answering) Handle(req *stream.Request) (*stream.Response, error) {
	a.calls++
	if err := proto.Unmarshal(req.Body.Buffered()[5:], &a.asked); err != nil {
		return nil, err
	}
	resp := &stream.Response{Status: 200}
	if a.answer == nil {
		resp.Header.Add("grpc-status", "14")
		return resp, nil
	}
	resp.Header.Add("grpc-status", "0")
	text, err := proto.Marshal(a.answer)
	if err != nil {
		return nil, err
	}
	resp.Body = stream.NewBytes(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...))
	return resp, nil
}

func TestGate(t *testing.T) {
	yes, no := &authv3.CheckResponse{Status: &status.Status{}}, &authv3.CheckResponse{Status: &status.Status{Code: 7}}
	never := func(*stream.Metadata) bool { return false }
	for name, tc := range map[string]struct {
		service  *answering
		gate     Gate
		admitted bool
		why      string
		calls    int
	}{
		"allowed":           {&answering{answer: yes}, Gate{}, true, "", 1},
		"denied":            {&answering{answer: no}, Gate{}, false, "ext_authz_close", 1},
		"broken":            {&answering{}, Gate{}, false, "ext_authz_error", 1},
		"broken, fail open": {&answering{}, Gate{FailOpen: true}, true, "", 1},
		"denied, fail open": {&answering{answer: no}, Gate{FailOpen: true}, false, "ext_authz_close", 1},
		"not asked":         {&answering{answer: no}, Gate{When: never}, true, "", 0},
	} {
		g := tc.gate
		g.Caller = &upcall.Caller{Handler: tc.service}
		conn := &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:99"), Local: netip.MustParseAddrPort("10.0.0.2:5432"), TLS: &stream.TLS{SNI: "db", URISANs: []string{"spiffe://a"}, LocalURI: "spiffe://b"}}
		g.Facts = Facts{TLS: true, Labels: map[string]string{"app": "db"}}
		var info stream.Info
		admitted, why := g.Admit(conn, &info)
		if admitted != tc.admitted || why != tc.why || tc.service.calls != tc.calls || (info.Flags == stream.Unauthorized) == admitted {
			t.Errorf("%s: %v, %q, %d calls, flags %v", name, admitted, why, tc.service.calls, info.Flags)
		}
		a := tc.service.asked.GetAttributes()
		if tc.calls > 0 && (a.GetSource().GetPrincipal() != "spiffe://a" || a.GetDestination().GetPrincipal() != "spiffe://b" || a.GetSource().GetAddress().GetSocketAddress().GetPortValue() != 99 ||
			a.GetDestination().GetAddress().GetSocketAddress().GetPortValue() != 5432 || a.GetTlsSession().GetSni() != "db" || a.GetDestination().GetLabels()["app"] != "db" || a.GetRequest() != nil) {
			t.Errorf("%s: asked %v", name, a)
		}
	}
}

// The HTTP filter's service is told the same of the connection, where it is asked
// for.
func TestFacts(t *testing.T) {
	conn := &stream.Conn{TLS: &stream.TLS{SNI: "shop", Peer: &x509.Certificate{Raw: []byte("cert")}}}
	for want, f := range map[[2]string]Facts{{"", ""}: {}, {"", "shop"}: {TLS: true}, {"-----BEGIN+CERTIFICATE-----%0AY2VydA%3D%3D%0A-----END+CERTIFICATE-----%0A", ""}: {Certificate: true}} {
		service := &answering{answer: &authv3.CheckResponse{Status: &status.Status{}}}
		g := &GRPC{Caller: &upcall.Caller{Handler: service}, Facts: f}
		if _, err := g.Check(&Question{Req: &stream.Request{Conn: conn, Info: &stream.Info{}}}); err != nil {
			t.Fatal(err)
		}
		a := service.asked.GetAttributes()
		if got := [2]string{a.GetSource().GetCertificate(), a.GetTlsSession().GetSni()}; got != want {
			t.Errorf("told %q; want %q", got, want)
		}
	}
}

// A refusal counts among the replies of the request's cluster.
func TestCharge(t *testing.T) {
	counted := 0
	f := &Filter{Enabled: runtime.All, Charge: func(cluster string, status int) {
		if cluster == "shop" {
			counted = status
		}
	}, Service: service(func(*Question) (*Answer, error) { return &Answer{Status: 403}, nil })}
	req := &stream.Request{Info: &stream.Info{Cluster: "shop"}}
	if _, err := f.Handle(req, nil); err == nil || counted != 403 {
		t.Errorf("counted %d, %v", counted, err)
	}
}
