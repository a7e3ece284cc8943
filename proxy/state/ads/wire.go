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
	// receive also gives the server's name for itself. It ends with the context
	// that the wire was opened with.
	receive() (response, string, error)
	close()
}

// openWire opens what the configuration names. It lives as long as ctx.
func openWire(ctx context.Context, c Config) (wire, error) {
	switch {
	case c.File.Path != "":
		return openFile(ctx, c)
	case c.REST > 0:
		return newREST(ctx, c), nil
	default:
		return openStream(ctx, c)
	}
}

func openStream(ctx context.Context, c Config) (wire, error) {
	conn, err := c.Server.dial()
	if err != nil {
		return nil, err
	}
	method := "/envoy.service.discovery.v3.AggregatedDiscoveryService/%sAggregatedResources"
	if c.Service != "" {
		method = services[c.Service].method
	}
	kind := "Delta"
	if c.SotW {
		kind = "Stream"
	}
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, both, fmt.Sprintf(method, kind))
	if err != nil {
		conn.Close()
		return nil, err
	}
	if c.SotW {
		return &sotwWire{conn, &grpc.GenericClientStream[discovery.DiscoveryRequest, discovery.DiscoveryResponse]{ClientStream: stream}, c.Node}, nil
	}
	return &deltaWire{conn, &grpc.GenericClientStream[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse]{ClientStream: stream}, c.Node}, nil
}

// services are the methods and the paths of the services for one type of resource.
var services = map[string]struct{ method, path string }{
	ClusterType:   {"/envoy.service.cluster.v3.ClusterDiscoveryService/%sClusters", "/v3/discovery:clusters"},
	EndpointType:  {"/envoy.service.endpoint.v3.EndpointDiscoveryService/%sEndpoints", "/v3/discovery:endpoints"},
	ListenerType:  {"/envoy.service.listener.v3.ListenerDiscoveryService/%sListeners", "/v3/discovery:listeners"},
	ScopeType:     {"/envoy.service.route.v3.ScopedRoutesDiscoveryService/%sScopedRoutes", "/v3/discovery:scoped-routes"},
	RouteType:     {"/envoy.service.route.v3.RouteDiscoveryService/%sRoutes", "/v3/discovery:routes"},
	SecretType:    {"/envoy.service.secret.v3.SecretDiscoveryService/%sSecrets", "/v3/discovery:secrets"},
	HostType:      {"/envoy.service.route.v3.VirtualHostDiscoveryService/%sVirtualHosts", ""}, // by delta only
	ExtensionType: {"/envoy.service.extension.v3.ExtensionConfigDiscoveryService/%sExtensionConfigs", "/v3/discovery:extension_configs"},
	RuntimeType:   {"/envoy.service.runtime.v3.RuntimeDiscoveryService/%sRuntime", "/v3/discovery:runtime"},
}

type deltaWire struct {
	conn   *grpc.ClientConn
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node   *core.Node // nil once it was sent
}

func (w *deltaWire) close() { w.conn.Close() }

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
	out := response{typeURL: r.GetTypeUrl(), nonce: r.GetNonce(), update: Update{Type: r.GetTypeUrl(), Version: r.GetSystemVersionInfo(), Removed: r.GetRemovedResources()}}
	for _, res := range r.GetResources() {
		out.take(res)
	}
	return out, r.GetControlPlane().GetIdentifier(), nil
}

// take adds a resource, or the word that it lives on.
func (r *response) take(m *discovery.Resource) {
	res := Resource{Name: m.GetName(), Version: m.GetVersion(), Body: m.GetResource(), Aliases: m.GetAliases(), ttl: m.GetTtl().AsDuration()}
	switch {
	case res.Body == nil && r.typeURL == HostType && m.GetTtl() == nil: // "a virtual host that could not be resolved"
		r.update.Removed = append(append(r.update.Removed, res.Name), res.Aliases...)
	case res.Body == nil:
		r.alive = append(r.alive, res)
	default:
		r.update.Set = append(r.update.Set, res)
	}
}

type sotwWire struct {
	conn   *grpc.ClientConn
	stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	node   *core.Node // nil once it was sent
}

func (w *sotwWire) close() { w.conn.Close() }

func (w *sotwWire) send(m message) error {
	req := m.stateOfTheWorld()
	req.Node, w.node = w.node, nil
	return w.stream.Send(req)
}

func (m message) stateOfTheWorld() *discovery.DiscoveryRequest {
	return &discovery.DiscoveryRequest{
		TypeUrl:       m.typeURL,
		VersionInfo:   m.version,
		ResponseNonce: m.nonce,
		ErrorDetail:   detail(m.problem),
		ResourceNames: m.names,
	}
}

func (w *sotwWire) receive() (response, string, error) {
	r, err := w.stream.Recv()
	if err != nil {
		return response{}, "", err
	}
	return stateOfTheWorld(r), r.GetControlPlane().GetIdentifier(), nil
}

// wrapper is the type of resources that are told with their name and how long they
// live.
const wrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource"

func stateOfTheWorld(r *discovery.DiscoveryResponse) response {
	out := response{typeURL: r.GetTypeUrl(), nonce: r.GetNonce(), update: Update{Type: r.GetTypeUrl(), Version: r.GetVersionInfo()}}
	for _, body := range r.GetResources() {
		if body.GetTypeUrl() != wrapper {
			out.update.Set = append(out.update.Set, Resource{Version: r.GetVersionInfo(), Body: body})
			continue
		}
		m := &discovery.Resource{}
		if err := body.UnmarshalTo(m); err != nil {
			out.update.Broken = fmt.Errorf("resources: %w", err)
			continue
		}
		m.Version = r.GetVersionInfo()
		out.take(m)
	}
	out.update.Full = len(out.alive) == 0
	return out
}

func detail(problem string) *status.Status {
	if problem == "" {
		return nil
	}
	return &status.Status{Code: int32(codes.InvalidArgument), Message: problem}
}
