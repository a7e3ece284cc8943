package ads

import (
	"context"
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// wire turns messages into one variant's protos and back. One goroutine may
// send while another receives.
type wire interface {
	send(message) error
	// receive also gives the server's name for itself.
	receive() (response, string, error)
}

func openWire(ctx context.Context, conn *grpc.ClientConn, c Config) (wire, error) {
	method := "/envoy.service.discovery.v3.AggregatedDiscoveryService/%sAggregatedResources"
	if c.Service != "" {
		method = services[c.Service]
	}
	kind := "Delta"
	if c.SotW {
		kind = "Stream"
	}
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, both, fmt.Sprintf(method, kind))
	if c.SotW {
		return &sotwWire{&grpc.GenericClientStream[discovery.DiscoveryRequest, discovery.DiscoveryResponse]{ClientStream: stream}, c.Node}, err
	}
	return &deltaWire{&grpc.GenericClientStream[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse]{ClientStream: stream}, c.Node}, err
}

// services are the methods of the services for one type of resource.
var services = map[string]string{
	EndpointType: "/envoy.service.endpoint.v3.EndpointDiscoveryService/%sEndpoints",
}

type deltaWire struct {
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node   *core.Node // nil once it was sent
}

func (w *deltaWire) send(m message) error {
	req := &discovery.DeltaDiscoveryRequest{
		Node:                     w.node,
		TypeUrl:                  m.typeURL,
		ResponseNonce:            m.nonce,
		ErrorDetail:              detail(m.problem),
		ResourceNamesSubscribe:   m.subscribe,
		ResourceNamesUnsubscribe: m.unsubscribe,
		InitialResourceVersions:  m.initial,
	}
	w.node = nil
	return w.stream.Send(req)
}

func (w *deltaWire) receive() (response, string, error) {
	r, err := w.stream.Recv()
	if err != nil {
		return response{}, "", err
	}
	u := Update{Type: r.GetTypeUrl(), Version: r.GetSystemVersionInfo(), Removed: r.GetRemovedResources()}
	for _, res := range r.GetResources() {
		if res.GetResource() == nil {
			continue // a heartbeat: the resource is as it was
		}
		u.Set = append(u.Set, Resource{Name: res.GetName(), Version: res.GetVersion(), Body: res.GetResource()})
	}
	return response{typeURL: r.GetTypeUrl(), nonce: r.GetNonce(), update: u}, r.GetControlPlane().GetIdentifier(), nil
}

type sotwWire struct {
	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	node   *core.Node // nil once it was sent
}

func (w *sotwWire) send(m message) error {
	req := &discovery.DiscoveryRequest{
		Node:          w.node,
		TypeUrl:       m.typeURL,
		VersionInfo:   m.version,
		ResponseNonce: m.nonce,
		ErrorDetail:   detail(m.problem),
		ResourceNames: m.names,
	}
	w.node = nil
	return w.stream.Send(req)
}

func (w *sotwWire) receive() (response, string, error) {
	r, err := w.stream.Recv()
	if err != nil {
		return response{}, "", err
	}
	u := Update{Type: r.GetTypeUrl(), Version: r.GetVersionInfo(), Full: true}
	for _, body := range r.GetResources() {
		u.Set = append(u.Set, Resource{Version: r.GetVersionInfo(), Body: body})
	}
	return response{typeURL: r.GetTypeUrl(), nonce: r.GetNonce(), update: u}, r.GetControlPlane().GetIdentifier(), nil
}

func detail(problem string) *status.Status {
	if problem == "" {
		return nil
	}
	return &status.Status{Code: int32(codes.InvalidArgument), Message: problem}
}
