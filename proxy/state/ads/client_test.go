package ads

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/anypb"
)

// server plays the control plane: each stream is handed to script.
type server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	script func(discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error
}

func (s *server) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.script(stream)
}

type sinkFunc func(Update) error

func (f sinkFunc) Update(u Update) error { return f(u) }

// start runs a client against a control plane that plays script, until the
// test ends.
func start(t *testing.T, sink Sink, script func(discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error) *Client {
	t.Helper()
	pipe := bufconn.Listen(1 << 20)
	srv := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, &server{script: script})
	go srv.Serve(pipe)
	c := New(Config{
		Node: &core.Node{Id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local"},
		Server: Server{Address: "istiod:15010", Plaintext: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return pipe.DialContext(ctx)
		}},
		Sink: sink, Backoff: time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; srv.Stop() })
	return c
}

// A lost stream is taken up again with what is held; a refusal names what is
// wrong; a wish made while a response is handled follows its answer.
func TestClient(t *testing.T) {
	finished := make(chan struct{})
	streams := 0
	c := start(t, sinkFunc(func(u Update) error {
		if u.Version == "bad" {
			return errors.New(`cluster "a": no`)
		}
		return nil
	}), func(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		streams++
		first, err := s.Recv()
		if err != nil {
			return err
		}
		if first.GetNode().GetId() == "" || first.GetTypeUrl() != ClusterType {
			t.Errorf("got %v as the first request, want the node and clusters", first)
		}
		if streams == 2 {
			if got := first.GetInitialResourceVersions()["a"]; got != "1" {
				t.Errorf("got initial version %q of a, want 1", got)
			}
			close(finished)
			<-s.Context().Done()
			return nil
		}
		respond := func(nonce, version string) *discovery.DeltaDiscoveryRequest {
			s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: ClusterType, Nonce: nonce, SystemVersionInfo: version,
				Resources: []*discovery.Resource{{Name: "a", Version: "1", Resource: &anypb.Any{TypeUrl: ClusterType}}}})
			ack, err := s.Recv()
			if err != nil {
				t.Error(err)
			}
			return ack
		}
		if ack := respond("n1", "good"); ack.GetResponseNonce() != "n1" || ack.GetErrorDetail() != nil {
			t.Errorf("got %v, want an ack of n1", ack)
		}
		if nack := respond("n2", "bad"); nack.GetErrorDetail().GetMessage() != `cluster "a": no` {
			t.Errorf("got %v, want a nack with the sink's words", nack)
		}
		return errors.New("gone")
	})
	c.Want(ClusterType, []string{Everything})
	<-finished
	s := c.Status().Types[ClusterType]
	if s.Accepted != 1 || s.Rejected != 1 || s.Nack == "" {
		t.Errorf("got %+v, want one accepted, one rejected and why", s)
	}
}

// A name that was not wanted for a moment is asked for anew, also when nothing was
// sent in that moment: whoever wants it again has nothing of it.
func TestWantedAgain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		sotw   bool
		wishes [][]string
		want   []message
	}{
		{"as before", false, [][]string{{"b", "a"}, {"a", "b"}}, nil},
		{"again", false, [][]string{{"b"}, {"a", "b"}}, []message{
			{typeURL: EndpointType, unsubscribe: []string{"a"}}, {typeURL: EndpointType, subscribe: []string{"a"}}}},
		{"later", false, [][]string{{"b"}, {"b", "c"}, {"a", "b", "c"}}, []message{
			{typeURL: EndpointType, subscribe: []string{"c"}, unsubscribe: []string{"a"}}, {typeURL: EndpointType, subscribe: []string{"a"}}}},
		{"no more", false, [][]string{{"a"}}, []message{{typeURL: EndpointType, unsubscribe: []string{"b"}}}},
		{"again, state of the world", true, [][]string{{"b"}, {"a", "b"}}, []message{
			{typeURL: EndpointType, version: "1", nonce: "n", names: []string{"b"}}, {typeURL: EndpointType, version: "1", nonce: "n", names: []string{"a", "b"}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := New(Config{SotW: tc.sotw, Sink: sinkFunc(func(Update) error { return nil })})
			l := newLine(t.Context())
			send := func() (sent []message) {
				if err := c.sendWishes(l); err != nil {
					t.Fatal(err)
				}
				for len(l.sent) > 0 {
					sent = append(sent, <-l.sent)
				}
				return sent
			}
			c.Want(EndpointType, nil)
			c.Want(EndpointType, []string{"a", "b"})
			if first := send(); len(first) != 1 {
				t.Errorf("got %+v at first, want one request", first)
			}
			c.handle(set(EndpointType, "n", "1", "a"))
			for _, names := range tc.wishes {
				c.Want(EndpointType, names)
			}
			if diff := cmp.Diff(send(), tc.want, exact); diff != "" {
				t.Error(diff)
			}
		})
	}
}
