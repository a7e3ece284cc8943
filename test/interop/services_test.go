package interop

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// services are the gRPC services that proxies ask.
type services struct {
	address string
	logs    *logService
}

// newServices serves them.
func newServices(t *testing.T) services {
	t.Helper()
	s := grpc.NewServer(grpc.UnknownServiceHandler(echoCall))
	authv3.RegisterAuthorizationServer(s, authorization{})
	rlsv3.RegisterRateLimitServiceServer(s, limiting{})
	logs := &logService{http: make(chan *alsv3.StreamAccessLogsMessage, 100), otlp: make(chan *logsv1.ExportLogsServiceRequest, 100)}
	alsv3.RegisterAccessLogServiceServer(s, logs)
	logsv1.RegisterLogsServiceServer(s, otlpService{logs: logs})
	return services{serveGRPC(t, s), logs}
}

// echoCall answers a message with itself, and fails then if its method says so.
func echoCall(_ any, call grpc.ServerStream) error {
	message := &wrapperspb.StringValue{}
	if err := call.RecvMsg(message); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(call)
	if strings.HasSuffix(method, "/refuse") {
		return status.ErrorProto(&rpcstatus.Status{Code: 7, Message: "not you"})
	}
	if err := call.SendMsg(message); err != nil {
		return err
	}
	if strings.HasSuffix(method, "/fail") {
		return status.ErrorProto(&rpcstatus.Status{Code: 5, Message: "no such thing"})
	}
	return nil
}

// logService keeps what it is sent.
type logService struct {
	alsv3.UnimplementedAccessLogServiceServer
	http chan *alsv3.StreamAccessLogsMessage
	otlp chan *logsv1.ExportLogsServiceRequest
}

// StreamAccessLogs takes entries of a proxy.
func (s *logService) StreamAccessLogs(in alsv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		m, err := in.Recv()
		if err != nil {
			return nil // the proxy has gone, or has said all
		}
		s.http <- m
	}
}

type otlpService struct {
	logsv1.UnimplementedLogsServiceServer
	logs *logService
}

// Export takes records of a proxy.
func (s otlpService) Export(_ context.Context, in *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	s.logs.otlp <- in
	return &logsv1.ExportLogsServiceResponse{}, nil
}

// authorization answers by the last word of the path, and tells the upstream what
// it was asked.
type authorization struct {
	authv3.UnimplementedAuthorizationServer
}

func (authorization) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	h := in.GetAttributes().GetRequest().GetHttp()
	var told []string
	for name, value := range h.GetHeaders() {
		if name != "x-request-id" && name != "x-peer" && name != "content-length" {
			told = append(told, name+": "+value)
		}
	}
	slices.Sort(told)
	asked, _ := json.Marshal([]any{h.GetMethod(), h.GetPath(), h.GetHost(), h.GetScheme(), h.GetProtocol(), h.GetBody(), h.GetSize(), told,
		in.GetAttributes().GetContextExtensions(), in.GetAttributes().GetDestination().GetAddress().GetSocketAddress().GetAddress(), in.GetAttributes().GetDestination().GetLabels(), in.GetAttributes().GetSource().GetCertificate(), in.GetAttributes().GetTlsSession() == nil})
	path, _, _ := strings.Cut(h.GetPath(), "?")
	action := func(name string, a corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: "service"}, AppendAction: a}
	}
	field := func(name, value string, append bool) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, Append: wrapperspb.Bool(append)} //nolint:staticcheck // services still set append
	}
	switch path[strings.LastIndexByte(path, '/')+1:] {
	case "allow":
		metadata, _ := structpb.NewStruct(map[string]any{"who": "jason"})
		return &authv3.CheckResponse{Status: &rpcstatus.Status{}, DynamicMetadata: metadata, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:              []*corev3.HeaderValueOption{field("x-asked", string(asked), false), field("x-more", "more", true), action("x-neither", 0), action("x-add", 0), action("x-absent", 1), action("x-over", 2), action("x-exists", 3)},
			QueryParametersToSet: []*corev3.QueryParameter{{Key: "asked", Value: "1"}, {Key: "odd", Value: "a%20b=c+/?"}}, QueryParametersToRemove: []string{"gone"},
			HeadersToRemove:      []string{"x-secret"},
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{field("x-granted", "yes", false)},
		}}}, nil
	case "plain":
		return &authv3.CheckResponse{Status: &rpcstatus.Status{}}, nil
	case "deny":
		return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 7}}, nil
	case "401":
		return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 16}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Unauthorized}, Headers: []*corev3.HeaderValueOption{field("www-authenticate", "Basic", false)}, Body: "who are you?",
		}}}, nil
	}
	return nil, context.DeadlineExceeded
}

// limiting is a rate limit service: the limit of a descriptor is what its entry
// "limit" says, and it tells the upstream what it was asked.
type limiting struct {
	rlsv3.UnimplementedRateLimitServiceServer
}

func (limiting) ShouldRateLimit(_ context.Context, in *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
	out := &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK}
	var asked []string
	for _, d := range in.GetDescriptors() {
		status := &rlsv3.RateLimitResponse_DescriptorStatus{Code: rlsv3.RateLimitResponse_OK, LimitRemaining: 7,
			CurrentLimit: &rlsv3.RateLimitResponse_RateLimit{RequestsPerUnit: 10, Unit: rlsv3.RateLimitResponse_RateLimit_MINUTE}}
		for _, e := range d.GetEntries() {
			asked = append(asked, e.GetKey()+"="+e.GetValue())
			switch {
			case e.GetKey() == "limit" && e.GetValue() == "over":
				status.Code, status.LimitRemaining, out.OverallCode = rlsv3.RateLimitResponse_OVER_LIMIT, 0, rlsv3.RateLimitResponse_OVER_LIMIT
			case e.GetKey() == "limit" && e.GetValue() == "error":
				return nil, context.DeadlineExceeded
			case e.GetKey() == "limit" && e.GetValue() == "body":
				out.OverallCode, out.RawBody = rlsv3.RateLimitResponse_OVER_LIMIT, []byte("slow down")
			}
		}
		asked = append(asked, "|")
		out.Statuses = append(out.Statuses, status)
	}
	out.RequestHeadersToAdd = []*corev3.HeaderValue{{Key: "x-asked", Value: in.GetDomain() + ": " + strings.Join(asked, " ")}}
	out.ResponseHeadersToAdd = []*corev3.HeaderValue{{Key: "x-limiter", Value: "was here"}}
	return out, nil
}
