package entry

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// The first mapper that holds changes a reply, and the type of its content follows the
// content unless a field was set for it.
func TestLocalReplies(t *testing.T) {
	gone, nothing := "gone", ""
	status := func(want int) func(*stream.Request, *stream.Response) bool {
		return func(req *stream.Request, _ *stream.Response) bool { return req.Info.Status == want }
	}
	l := &LocalReply{
		Mappers: []ReplyMapper{
			{Holds: status(404), Status: 410, Body: &gone, Header: []route.HeaderOp{{Name: "x-a", Value: route.Value{Literal: "1"}}}},
			{Holds: status(404), Status: 500},
			{Holds: status(403), Body: &nothing},
			{Holds: status(418), Header: []route.HeaderOp{{Name: "content-type", Append: route.OverwriteOrAdd, Value: route.Value{Literal: "text/css"}}}, Format: &ReplyFormat{ContentType: "text/html"}},
		},
		Format: ReplyFormat{ContentType: "application/json", Write: func(_ *stream.Request, _ *stream.Response, body string) string {
			if body == "" {
				return ""
			}
			return "<" + body + ">\n"
		}},
	}
	typed := stream.Field{Name: "content-type", Value: "text/plain"}
	for _, c := range []struct {
		in, want stream.Refusal
		kind     string // of the request
	}{
		{stream.Refusal{Status: 404, Details: "x", Body: "no"}, stream.Refusal{Status: 410, Details: "x", Body: "<gone>\n", Header: []stream.Field{{Name: "x-a", Value: "1"}, {Name: "content-type", Value: "application/json"}}}, ""},
		{stream.Refusal{Status: 403, Body: "no", Header: []stream.Field{typed}}, stream.Refusal{Status: 403, Header: []stream.Field{}}, ""},
		{stream.Refusal{Status: 418, Body: "tea", Header: []stream.Field{typed}}, stream.Refusal{Status: 418, Body: "tea", Header: []stream.Field{{Name: "content-type", Value: "text/css"}}}, ""},
		{stream.Refusal{Status: 503, Body: "no", Header: []stream.Field{typed}}, stream.Refusal{Status: 503, Body: "<no>\n", Header: []stream.Field{{Name: "content-type", Value: "application/json"}}}, ""},
		{stream.Refusal{Status: 503, Body: "no"}, stream.Refusal{Status: 503, Body: "<no>"}, "application/grpc"},
		{stream.Refusal{Details: "gone"}, stream.Refusal{Details: "gone"}, ""},
	} {
		req := &stream.Request{Info: &stream.Info{}}
		req.Header.Add("content-type", c.kind)
		if diff := cmp.Diff(*l.Rewrite(req, &c.in), c.want); diff != "" {
			t.Errorf("%+v (-got +want):\n%s", c.in, diff)
		}
	}
}
