package extauthz

import (
	"errors"
	"testing"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

type service func(*Question) (*Answer, error)

func (s service) Check(q *Question) (*Answer, error) { return s(q) }

type upstream struct {
	req  *stream.Request
	body string
}

func (u *upstream) Handle(req *stream.Request) (*stream.Response, error) {
	u.req = req
	if req.Body != nil {
		p := make([]byte, 100)
		n, _ := req.Body.Read(p)
		u.body = string(p[:n])
	}
	return &stream.Response{Status: 200}, nil
}

func post(body string) *stream.Request {
	req := &stream.Request{Method: "POST", Path: "/a?b=1", Info: &stream.Info{}, Conn: &stream.Conn{}, Length: int64(len(body))}
	if body != "" {
		req.Body = stream.NewBytes([]byte(body))
	}
	return req
}

func TestAnswers(t *testing.T) {
	var up upstream
	f := &Filter{Enabled: runtime.All, Service: service(func(*Question) (*Answer, error) {
		return &Answer{Allowed: true, Set: []stream.Field{{Name: "x-user", Value: "jason"}}, Append: []stream.Field{{Name: "x-user", Value: "b"}, {Name: "x-none", Value: "c"}},
			Remove: []string{"x-secret", ":path", "host"}, Reply: []stream.Field{{Name: "x-granted", Value: "1"}}, SetParams: []stream.Field{{Name: "a", Value: "2"}}, RemoveParams: []string{"b"},
			Metadata: map[string]any{"who": "jason"}}, nil
	})}
	req := post("")
	req.Header.Add("x-secret", "1")
	resp, err := f.Handle(req, &up)
	if err != nil || resp.Header.Get("x-granted") != "1" {
		t.Fatalf("got %v, %v", resp, err)
	}
	if up.req.Header.Get("x-user") != "jason,b" || up.req.Header.Has("x-none") || up.req.Header.Has("x-secret") || up.req.Path != "/a?a=2" {
		t.Errorf("upstream got %+v", up.req)
	}
	if who, _ := req.Info.Metadata.Get(Namespace, "who"); who != "jason" {
		t.Errorf("left %v", who)
	}
}

func TestFailures(t *testing.T) {
	broken := service(func(*Question) (*Answer, error) { return nil, errors.New("down") })
	for name, tc := range map[string]struct {
		filter Filter
		status int // 0: let through
	}{
		"closed":           {Filter{Enabled: runtime.All, Service: broken}, 403},
		"closed otherwise": {Filter{Enabled: runtime.All, Service: broken, StatusOnError: 503}, 503},
		"open":             {Filter{Enabled: runtime.All, Service: broken, FailOpen: true}, 0},
		"not asked":        {Filter{Service: broken}, 0},
		"not asked, shut":  {Filter{Service: broken, DenyOthers: runtime.Flag{On: true}}, 403},
		"by metadata":      {Filter{Enabled: runtime.All, Service: broken, When: func(*stream.Metadata) bool { return false }}, 0},
	} {
		_, err := tc.filter.Handle(post(""), &upstream{})
		if status := 0; err != nil {
			if status = stream.AsRefusal(err).Status; status != tc.status {
				t.Errorf("%s: got %d", name, status)
			}
		} else if tc.status != 0 {
			t.Errorf("%s: let through", name)
		}
	}
}

// The body that the service was told still reaches the upstream.
func TestBody(t *testing.T) {
	for _, tc := range []struct {
		limit   int
		partial bool
		told    string
		status  int
	}{{100, false, "hello", 0}, {3, true, "hel", 0}, {3, false, "", 413}, {5, false, "hello", 0}} {
		var told string
		var up upstream
		f := &Filter{Enabled: runtime.All, Body: tc.limit, Partial: tc.partial, Service: service(func(q *Question) (*Answer, error) {
			told = string(q.Body)
			return &Answer{Allowed: true}, nil
		})}
		_, err := f.Handle(post("hello"), &up)
		if tc.status != 0 {
			if stream.AsRefusal(err).Status != tc.status {
				t.Errorf("limit %d: got %v", tc.limit, err)
			}
			continue
		}
		if err != nil || told != tc.told || up.body[:min(len(up.body), 3)] != "hel" {
			t.Errorf("limit %d: told %q, upstream got %q, %v", tc.limit, told, up.body, err)
		}
	}
}
