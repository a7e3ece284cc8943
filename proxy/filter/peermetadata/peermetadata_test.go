package peermetadata

import (
	"encoding/base64"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

var cart = stream.Peer{
	Name: "cart-1", Namespace: "shop", Workload: "cart", OwnerKind: "deployment", KubeCluster: "Kubernetes",
	CanonicalName: "cart", CanonicalRevision: "v1", App: "cart", Version: "v1",
}

// What a proxy tells is a Struct with the keys that Istio's proxies read.
func TestEncode(t *testing.T) {
	text, err := Encode(cart)
	if err != nil {
		t.Fatal(err)
	}
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	var s structpb.Struct
	if err := proto.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"NAME": "cart-1", "NAMESPACE": "shop", "WORKLOAD_NAME": "cart", "CLUSTER_ID": "Kubernetes",
		"OWNER":  "kubernetes://apis/apps/v1/namespaces/shop/deployments/cart",
		"LABELS": map[string]any{"service.istio.io/canonical-name": "cart", "service.istio.io/canonical-revision": "v1", "app": "cart", "version": "v1"},
	}
	if diff := cmp.Diff(s.AsMap(), want); diff != "" {
		t.Error(diff)
	}
	got, err := Decode(text)
	if diff := cmp.Diff(got, cart); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

type upstream struct {
	seen *stream.Header
	peer string
}

func (u upstream) Handle(req *stream.Request) (*stream.Response, error) {
	req.Header.CopyTo(u.seen)
	resp := &stream.Response{Status: 200}
	resp.Header.Add(header, u.peer)
	resp.Header.Add(headerID, "them")
	return resp, nil
}

// A client's proxy tells the server and keeps what the server tells from the
// application; a server's proxy keeps what the client tells.
func TestFilter(t *testing.T) {
	peer, _ := Encode(cart)
	var seen stream.Header
	client := &Filter{PropagateUpstream: true, DiscoverUpstream: true, Metadata: "me", ID: "id", Known: &Peers{}}
	req := &stream.Request{Info: &stream.Info{}}
	resp, err := client.Handle(req, upstream{&seen, peer})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Get(header) != "me" || seen.Get(headerID) != "id" {
		t.Errorf("the server was told %q, %q", seen.Get(header), seen.Get(headerID))
	}
	if resp.Header.Has(header) || req.Info.UpstreamPeer == nil || *req.Info.UpstreamPeer != cart {
		t.Errorf("got peer %v and header %v", req.Info.UpstreamPeer, resp.Header)
	}

	server := &Filter{DiscoverDownstream: true, PropagateDownstream: true, Metadata: "me", ID: "id", Known: &Peers{}}
	req = &stream.Request{Info: &stream.Info{}}
	req.Header.Add(header, peer)
	resp, err = server.Handle(req, upstream{&seen, peer})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Has(header) || req.Info.DownstreamPeer == nil || resp.Header.Get(header) != "me" {
		t.Errorf("the application saw %v, peer %v, the client was told %q", seen, req.Info.DownstreamPeer, resp.Header.Get(header))
	}
}
