package extauthz

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// method is the call of envoy.service.auth.v3.Authorization.
const method = "/envoy.service.auth.v3.Authorization/Check"

// GRPC asks a service of Envoy's authorization API.
type GRPC struct {
	Caller *upcall.Caller
	// Tell are the fields that the service is told, all when nil; Withhold are
	// never told.
	Tell, Withhold Names
	// Raw sends the body as bytes, whatever they are.
	Raw bool
	// Namespaces of the request's metadata are told.
	Namespaces []string
	Facts      Facts
}

// Check implements [Service].
func (s *GRPC) Check(q *Question) (*Answer, error) {
	var out authv3.CheckResponse
	if err := s.Caller.Unary(q.Req, method, s.request(q), &out); err != nil {
		return nil, err
	}
	a := &Answer{Allowed: out.GetStatus().GetCode() == 0, Metadata: out.GetDynamicMetadata().AsMap()}
	if a.Allowed {
		ok := out.GetOkResponse()
		a.Set, a.Append = changes(ok.GetHeaders())
		for _, q := range ok.GetQueryParametersToSet() {
			a.SetParams = append(a.SetParams, stream.Field{Name: q.GetKey(), Value: q.GetValue()})
		}
		a.RemoveParams = ok.GetQueryParametersToRemove()
		a.Remove = ok.GetHeadersToRemove()
		set, add := changes(ok.GetResponseHeadersToAdd())
		a.Reply = append(set, add...)
		return a, nil
	}
	denied := out.GetDeniedResponse()
	if a.Status = int(denied.GetStatus().GetCode()); a.Status == 0 {
		a.Status = 403
	}
	a.Body = denied.GetBody()
	set, add := changes(denied.GetHeaders())
	a.Header = append(set, add...)
	return a, nil
}

// changes sorts fields into those that replace and those that are added. (Envoy
// does not look at append_action here.)
//
//nolint:staticcheck // services still set append
func changes(list []*corev3.HeaderValueOption) (set, add []stream.Field) {
	for _, o := range list {
		f := stream.Field{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetValue()}
		if f.Value == "" {
			f.Value = string(o.GetHeader().GetRawValue())
		}
		if !f.Fit() {
			continue
		}
		if o.GetAppend().GetValue() {
			add = append(add, f)
		} else {
			set = append(set, f)
		}
	}
	return set, add
}

func (s *GRPC) request(q *Question) *authv3.CheckRequest {
	req := q.Req
	_, query, _ := strings.Cut(req.Path, "?")
	http := &authv3.AttributeContext_HttpRequest{
		Id: req.Header.Get("x-request-id"), Method: req.Method, Path: req.Path, Host: req.Authority, Scheme: req.Scheme, Query: query,
		Protocol: req.Protocol.String(), Size: req.Length, Headers: map[string]string{},
	}
	tell := func(name, value string) {
		if (s.Tell == nil || s.Tell.Has(name)) && !s.Withhold.Has(name) {
			if have, found := http.Headers[name]; found {
				value = have + "," + value
			}
			http.Headers[name] = strings.ToValidUTF8(value, "\uFFFD")
		}
	}
	for _, f := range []stream.Field{{Name: ":method", Value: req.Method}, {Name: ":path", Value: req.Path}, {Name: ":authority", Value: req.Authority}, {Name: ":scheme", Value: req.Scheme}} {
		tell(f.Name, f.Value)
	}
	for i := range req.Header.Len() {
		tell(strings.ToLower(req.Header.At(i).Name), req.Header.At(i).Value)
	}
	if q.Body != nil {
		tell("x-envoy-auth-partial-body", strconv.FormatBool(q.Partial))
	}
	if s.Raw {
		http.RawBody = q.Body
	} else {
		http.Body = strings.ToValidUTF8(string(q.Body), "!")
	}
	attributes := s.Facts.of(req.Conn)
	attributes.Request = &authv3.AttributeContext_Request{Time: timestamppb.New(req.Info.Start), Http: http}
	attributes.ContextExtensions, attributes.MetadataContext = q.Extensions, &corev3.Metadata{}
	if len(s.Namespaces) > 0 {
		if told := upcall.Metadata(&req.Info.Metadata, s.Namespaces); told != nil {
			attributes.MetadataContext = told
		}
	}
	return &authv3.CheckRequest{Attributes: attributes}
}

var _ Service = (*GRPC)(nil)
