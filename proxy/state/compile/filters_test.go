package compile

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	matcherxdsv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	alpnv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	peerv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/peer_metadata/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	localv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	netstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	oauth2v3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/oauth2/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/extauthz"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

func compiler() *Compiler {
	return &Compiler{Secrets: credential.NewStore(), Telemetry: telemetry.New(telemetry.Config{}), Log: slog.New(slog.DiscardHandler)}
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func filter(name string, config *anypb.Any) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config}}
}

func fields(t *testing.T, m map[string]*structpb.Value) *structpb.Struct {
	t.Helper()
	return &structpb.Struct{Fields: m}
}

const peerMetadata = "type.googleapis.com/io.istio.http.peer_metadata.Config"

// "TypedStruct contains an arbitrary JSON serialized protocol buffer message
// with a URL that describes its type": both spellings are read.
func TestTypedStruct(t *testing.T) {
	headers := structpb.NewStructValue(fields(t, map[string]*structpb.Value{"istio_headers": structpb.NewStructValue(&structpb.Struct{})}))
	value := fields(t, map[string]*structpb.Value{"downstream_discovery": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{headers}})})
	for _, m := range []proto.Message{&udpav1.TypedStruct{TypeUrl: peerMetadata, Value: value}, &xdsv3.TypedStruct{TypeUrl: peerMetadata, Value: value}} {
		got, err := unpack(packed(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := got.(*peerv3.Config); !ok || p.GetDownstreamDiscovery()[0].GetIstioHeaders() == nil {
			t.Errorf("got %v", got)
		}
	}
	wrong := fields(t, map[string]*structpb.Value{"down": structpb.NewBoolValue(true)})
	_, err := unpack(packed(t, &udpav1.TypedStruct{TypeUrl: peerMetadata, Value: wrong}))
	if err == nil || !strings.Contains(err.Error(), `unknown field "down"`) {
		t.Errorf("got %v, want the field named", err)
	}
}

// An extension that is not understood is refused by name, unless the filter is
// optional.
func TestUnknownFilter(t *testing.T) {
	router := filter("router", packed(t, &routerv3.Router{}))
	strange := filter("strange", &anypb.Any{TypeUrl: "type.googleapis.com/envoy.extensions.filters.http.strange.v3.Strange"})
	_, err := compiler().filters([]*hcmv3.HttpFilter{strange, router}, false)
	if got, want := err.Error(), "[0].typed_config: envoy.extensions.filters.http.strange.v3.Strange is not supported"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	strange.IsOptional = true
	if _, err := compiler().filters([]*hcmv3.HttpFilter{strange, router}, false); err != nil {
		t.Errorf("an optional filter: %v", err)
	}
	if _, err = compiler().filters([]*hcmv3.HttpFilter{strange}, false); err == nil || !strings.Contains(err.Error(), "no router") {
		t.Errorf("got %v, want the missing router named", err)
	}
}

// A filter with nothing to do on a route does not stand on it.
func TestChainIsPerRoute(t *testing.T) {
	f, err := compiler().filters([]*hcmv3.HttpFilter{
		filter("fault", packed(t, &faultv3.HTTPFault{})), filter("cors", packed(t, &corsv3.Cors{})), filter("router", packed(t, &routerv3.Router{})),
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	last := route.NotFound{}
	h, _, err := f.chain(last, nil, &spot{})
	if err != nil || h != last {
		t.Errorf("got %T, %v; want the last handler alone", h, err)
	}
	delay := &faultv3.HTTPFault{Abort: &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: 500}, Percentage: &typev3.FractionalPercent{Numerator: 100}}}
	o, err := compiler().overrides(map[string]*anypb.Any{"fault": packed(t, delay)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h, _, err = f.chain(last, o, &spot{}); err != nil || h == last {
		t.Errorf("got %T, %v; want the fault filter in front", h, err)
	}
}

// What bounds exchanges with endpoints is kept.
func TestUpstreamLimits(t *testing.T) {
	c := &Cluster{Config: &cluster.Config{}}
	err := c.httpOptions(&upstreamv3.HttpProtocolOptions{CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
		MaxStreamDuration: durationpb.New(time.Second), MaxHeadersCount: wrapperspb.UInt32(5), HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_DROP_HEADER,
	}})
	if err != nil || c.Config.StreamDuration != time.Second || c.Config.MostFields != 5 {
		t.Errorf("got %v, %d, %v", c.Config.StreamDuration, c.Config.MostFields, err)
	}
	err = c.httpOptions(&upstreamv3.HttpProtocolOptions{CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{MaxHeadersCount: wrapperspb.UInt32(0)}})
	if err == nil || !strings.Contains(err.Error(), "max_headers_count") {
		t.Errorf("no field at all: got %v", err)
	}
}

// A field without a value is left out unless it is to be kept.
func TestEmptyValues(t *testing.T) {
	ops, err := compiler().operations([]*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-left-out"}}, {Header: &corev3.HeaderValue{Key: "x-kept"}, KeepEmptyValue: true}})
	if err != nil {
		t.Fatal(err)
	}
	var h stream.Header
	for i := range ops {
		ops[i].Apply(&h, &stream.Request{}, nil)
	}
	if h.Has("x-left-out") || !h.Has("x-kept") {
		t.Errorf("got %d fields", h.Len())
	}
}

// The credential that is injected is the secret's at that moment; what would be
// read and not kept is refused by its path.
func TestInjector(t *testing.T) {
	c := compiler()
	generic := func(secret *tlsv3.SdsSecretConfig) *injectorv3.CredentialInjector {
		return &injectorv3.CredentialInjector{Credential: &corev3.TypedExtensionConfig{Name: "c", TypedConfig: packed(t, &genericv3.Generic{Credential: secret, HeaderValuePrefix: "Basic "})}}
	}
	f, name, err := c.injector(generic(&tlsv3.SdsSecretConfig{Name: "s"}))
	if err != nil || name.Name != "s" {
		t.Fatal(name, err)
	}
	for _, want := range []string{"one", "two"} {
		c.Secrets.Set(name, &credential.Material{Generic: want})
		req := &stream.Request{Info: &stream.Info{}}
		if _, err := f.Handle(req, answering{}); err != nil || req.Header.Get("authorization") != "Basic "+want {
			t.Errorf("injected %q, %v", req.Header.Get("authorization"), err)
		}
	}
	endpoint := &corev3.HttpUri{Uri: "http://tokens", HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: "tokens"}, Timeout: durationpb.New(0)}
	oauth2 := func(credentials *oauth2v3.OAuth2_ClientCredentials) *injectorv3.CredentialInjector {
		return &injectorv3.CredentialInjector{Credential: &corev3.TypedExtensionConfig{Name: "c", TypedConfig: packed(t, &oauth2v3.OAuth2{TokenEndpoint: endpoint, FlowType: &oauth2v3.OAuth2_ClientCredentials_{ClientCredentials: credentials}})}}
	}
	for want, m := range map[string]*injectorv3.CredentialInjector{
		"credential.typed_config.token_endpoint: value is required":                                       {Credential: &corev3.TypedExtensionConfig{Name: "c", TypedConfig: packed(t, &oauth2v3.OAuth2{})}},
		"credential.typed_config.client_credentials.auth_type: TLS_CLIENT_AUTH is not supported":          oauth2(&oauth2v3.OAuth2_ClientCredentials{ClientId: "c", ClientSecret: &tlsv3.SdsSecretConfig{Name: "s"}, AuthType: oauth2v3.OAuth2_TLS_CLIENT_AUTH}),
		"credential.typed_config.token_endpoint.timeout: is missing":                                      oauth2(&oauth2v3.OAuth2_ClientCredentials{ClientId: "c", ClientSecret: &tlsv3.SdsSecretConfig{Name: "s"}}),
		"credential.typed_config: envoy.extensions.filters.http.router.v3.Router is not supported, write": {Credential: &corev3.TypedExtensionConfig{Name: "c", TypedConfig: packed(t, &routerv3.Router{})}},
	} {
		if _, _, err := c.injector(m); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}

// answering is an upstream that answers 200.
type answering struct{}

func (answering) Handle(*stream.Request) (*stream.Response, error) {
	return &stream.Response{Status: 200}, nil
}

// Only strings are objects that something reads.
func TestFilterStateObjects(t *testing.T) {
	format := &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormat{TextFormat: "%PROTOCOL%"}}
	key := &statev3.FilterStateValue_ObjectKey{ObjectKey: "envoy.network.upstream_server_name"}
	for want, v := range map[string]*statev3.FilterStateValue{
		"":                        {Key: key, FactoryKey: "envoy.string", Value: &statev3.FilterStateValue_FormatString{FormatString: format}},
		"factory_key: ":           {Key: key, Value: &statev3.FilterStateValue_FormatString{FormatString: format}},
		"object_key: is missing":  {FactoryKey: "envoy.string", Value: &statev3.FilterStateValue_FormatString{FormatString: format}},
		"format_string.json_form": {Key: key, FactoryKey: "envoy.string", Value: &statev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{}}}}},
	} {
		if _, err := compiler().object(v); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}

// A connection's data is not waited for before its state is left.
func TestConnectionState(t *testing.T) {
	v := &statev3.FilterStateValue{Key: &statev3.FilterStateValue_ObjectKey{ObjectKey: "a"}, FactoryKey: "envoy.string", Value: &statev3.FilterStateValue_FormatString{
		FormatString: &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormat{TextFormat: "%REQUESTED_SERVER_NAME%"}}}}
	s, err := compiler().connectionState(&netstatev3.Config{OnNewConnection: []*statev3.FilterStateValue{v}, OnDownstreamTlsHandshake: []*statev3.FilterStateValue{v}})
	if err != nil || len(s) != 2 {
		t.Fatal(s, err)
	}
	conn := &stream.Conn{SNI: "shop"}
	if s.Admit(conn, &stream.Info{}); conn.State["a"] != "shop" {
		t.Errorf("left %v", conn.State)
	}
	if _, err := compiler().connectionState(&netstatev3.Config{OnDownstreamData: []*statev3.FilterStateValue{v}}); err == nil || !strings.HasPrefix(err.Error(), "on_downstream_data: ") {
		t.Errorf("got %v", err)
	}
}

// Limits that would be kept otherwise than they are written are refused.
func TestLocalLimitsThatAreRefused(t *testing.T) {
	for want, m := range map[string]*localv3.LocalRateLimit{
		"":                          {MaxDynamicDescriptors: wrapperspb.UInt32(1)},
		"local_cluster_rate_limit:": {LocalClusterRateLimit: &ratelimitv3.LocalClusterRateLimit{}},
		"max_dynamic_descriptors:":  {MaxDynamicDescriptors: wrapperspb.UInt32(0)},
	} {
		if _, err := compiler().localLimit(m); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}

// What is optional is left out only where its type is not known at all: a filter
// that is half understood would fail open.
func TestOptionalFilters(t *testing.T) {
	router := filter("router", packed(t, &routerv3.Router{}))
	denied := &rbacv3.RBAC{Matcher: &matcherxdsv3.Matcher{}}
	half := filter("rbac", packed(t, denied))
	half.IsOptional = true
	want := "typed_config.matcher: is not supported"
	if _, err := compiler().filters([]*hcmv3.HttpFilter{half, router}, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a filter: got %v, want %q", err, want)
	}
	wrapped := fields(t, map[string]*structpb.Value{"matcher": structpb.NewStructValue(&structpb.Struct{})})
	half = filter("rbac", packed(t, &xdsv3.TypedStruct{TypeUrl: "x/envoy.extensions.filters.http.rbac.v3.RBAC", Value: wrapped}))
	half.IsOptional = true
	if _, err := compiler().filters([]*hcmv3.HttpFilter{half, router}, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a filter as a struct: got %v, want %q", err, want)
	}
	settings := func(a *anypb.Any) map[string]*anypb.Any {
		return map[string]*anypb.Any{"rbac": packed(t, &routev3.FilterConfig{IsOptional: true, Config: a})}
	}
	if _, err := compiler().overrides(settings(packed(t, &rbacv3.RBACPerRoute{Rbac: denied})), nil); err == nil || !strings.Contains(err.Error(), "rbac.matcher: is not supported") {
		t.Errorf("settings of a route: got %v", err)
	}
	if _, err := compiler().overrides(settings(&anypb.Any{TypeUrl: "x/a.B"}), nil); err != nil {
		t.Errorf("settings of a type that is not known: %v", err)
	}
}

// What a filter cannot do, or a route not change about it, is refused by name.
func TestFiltersThatAreTheSame(t *testing.T) {
	statistics := packed(t, &statsv3.PluginConfig{})
	router := filter("router", packed(t, &routerv3.Router{}))
	list := []*hcmv3.HttpFilter{
		filter("stats", statistics), filter("alpn", packed(t, &alpnv3.FilterConfig{})), filter("peers", packed(t, &peerv3.Config{})),
		filter("grpc", packed(t, &grpcstatsv3.FilterConfig{})), router,
	}
	f, err := compiler().filters(list, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"stats": "is a filter that is the same on all routes", "router": "is a filter that is the same on all routes",
		"alpn": "stats.PluginConfig is not a setting of this filter for routes", "peers": "is not a setting of this filter", "grpc": "is not a setting of this filter",
	} {
		o, err := compiler().overrides(map[string]*anypb.Any{name: statistics}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = f.chain(route.NotFound{}, o, &spot{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	list[0].Disabled = true
	if f, err = compiler().filters(list, false); err != nil || len(f.stats) != 0 {
		t.Errorf("%v; a disabled filter counts", err)
	}
	router.Disabled = true
	if _, err = compiler().filters(list, false); err == nil || !strings.HasPrefix(err.Error(), "[4].disabled: is not possible") {
		t.Errorf("a disabled router: got %v", err)
	}
	value := fields(t, map[string]*structpb.Value{"start_child_span": structpb.NewBoolValue(true)})
	spans := filter("router", packed(t, &xdsv3.TypedStruct{TypeUrl: "x/envoy.extensions.filters.http.router.v3.Router", Value: value}))
	if f, err = compiler().filters([]*hcmv3.HttpFilter{spans}, false); err != nil || !f.spawn {
		t.Errorf("%v; a router in a struct has no spans", err)
	}
}

// Metrics of a connection whose requests are served have no place.
func TestStatsBeforeRequests(t *testing.T) {
	const stats = `{"name": "s", "typedConfig": {"@type": "type.googleapis.com/stats.PluginConfig"}}, `
	_, err := chained(t, stats+`{"name": "http", "typedConfig": {"@type": "type.googleapis.com/`+httpManager+`", "statPrefix": "h", "routeConfig": {}, "httpFilters": [`+routerFilter+`]}}`)
	if err == nil || !strings.Contains(err.Error(), "filters[1].typed_config: stats.PluginConfig stands before") {
		t.Errorf("got %v", err)
	}
}

// Fields of the proxy's own calls are added as they say.
func TestOwnFields(t *testing.T) {
	option := func(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action}
	}
	got, err := ownFields([]*corev3.HeaderValueOption{
		option("User-Agent", "mine", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD), option("a", "1", corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD),
		option("a", "2", corev3.HeaderValueOption_ADD_IF_ABSENT), option("b", "3", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS),
	}, stream.Field{Name: "user-agent", Value: "Envoy/HC"})
	if want := "[{user-agent mine} {a 1}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
}

// A route's own with_request_body says how the body is told there, and only there.
func TestBodiesAreToldAsRoutesSay(t *testing.T) {
	c := compiler()
	c.Handle = cluster.NewHandle
	service := &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "c"}}}
	build, err := extAuthzFilter(c, &authzv3.ExtAuthz{Services: &authzv3.ExtAuthz_GrpcService{GrpcService: service}})
	if err != nil {
		t.Fatal(err)
	}
	own := &authzv3.ExtAuthzPerRoute{Override: &authzv3.ExtAuthzPerRoute_CheckSettings{CheckSettings: &authzv3.CheckSettings{WithRequestBody: &authzv3.BufferSettings{MaxRequestBytes: 9, PackAsBytes: true}}}}
	for _, override := range []proto.Message{own, nil} {
		f, err := build(override, &spot{})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.(*extauthz.Filter).Service.(*extauthz.GRPC).Raw; got != (override != nil) {
			t.Errorf("%v: bytes %t", override, got)
		}
	}
}
