package injector

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

type upstream struct{ got stream.Header }

func (u *upstream) Handle(req *stream.Request) (*stream.Response, error) {
	req.Header.CopyTo(&u.got)
	return &stream.Response{Status: 200}, nil
}

func fixed(value string) Secret { return func() (string, bool) { return value, value != "" } }

func TestInjection(t *testing.T) {
	for name, tc := range map[string]struct {
		filter Filter
		have   string
		want   string
		status int
	}{
		"injected":        {Filter{Credential: fixed("secret")}, "", "secret", 0},
		"with its scheme": {Filter{Credential: fixed("secret"), Prefix: "Bearer "}, "", "Bearer secret", 0},
		"kept":            {Filter{Credential: fixed("secret")}, "mine", "mine", 0},
		"kept, none":      {Filter{Credential: fixed("")}, "mine", "mine", 0},
		"overwritten":     {Filter{Credential: fixed("secret"), Overwrite: true}, "mine", "secret", 0},
		"missing":         {Filter{Credential: fixed("")}, "", "", 401},
		"optional":        {Filter{Credential: fixed(""), Optional: true}, "", "", 0},
		"two lines":       {Filter{Credential: fixed("a\r\nb: c")}, "", "", 401},
	} {
		req := &stream.Request{Info: &stream.Info{}}
		if tc.have != "" {
			req.Header.Add("Authorization", tc.have)
		}
		tc.filter.Header = "authorization"
		var up upstream
		_, err := tc.filter.Handle(req, &up)
		status := 0
		if err != nil {
			status = stream.AsRefusal(err).Status
		}
		if status != tc.status || up.got.Get("authorization") != tc.want {
			t.Errorf("%s: status %d, sent %q", name, status, up.got.Get("authorization"))
		}
	}
}

// server gives tokens t1, t2, ... that hold for 100 s, or answers status.
type server struct {
	mu     sync.Mutex
	calls  int
	status int
	life   string // as it is written
	slow   time.Duration
	asked  url.Values
	basic  string
}

func (s *server) Handle(req *stream.Request) (*stream.Response, error) {
	s.mu.Lock()
	s.calls++
	n, status, life := s.calls, s.status, s.life
	if life == "" {
		life = "100"
	}
	s.asked, _ = url.ParseQuery(string(req.Body.Buffered()))
	s.basic = req.Header.Get("authorization")
	s.mu.Unlock()
	time.Sleep(s.slow)
	if status != 0 {
		return &stream.Response{Status: status}, nil
	}
	return &stream.Response{Status: 200, Body: stream.NewBytes(fmt.Appendf(nil, `{"access_token": "t%d", "expires_in": %s}`, n, life))}, nil
}

func (s *server) set(status int) {
	s.mu.Lock()
	s.status = status
	s.mu.Unlock()
}

func TestTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{slow: time.Second}
		o := &OAuth2{Caller: &upcall.Caller{Handler: s}, Client: "me", Secret: fixed("secret"), Retry: 3 * time.Second}
		expect := func(when, want string, calls int) {
			t.Helper()
			if got, _ := o.Value(&stream.Waiting{}); got != want || s.calls != calls {
				t.Errorf("%s: got %q after %d calls; want %q after %d", when, got, s.calls, want, calls)
			}
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if got, ok := o.Value(&stream.Waiting{}); got != "t1" || !ok {
					t.Errorf("at first: got %q", got)
				}
			})
		}
		all.Wait()
		expect("kept", "t1", 1)
		time.Sleep(50 * time.Second)
		expect("after half of its time", "t2", 2)
		time.Sleep(60 * time.Second)
		s.set(500)
		expect("nothing new", "t2", 3)
		expect("not asked at once", "t2", 3)
		time.Sleep(3 * time.Second)
		expect("asked again", "t2", 4)
		time.Sleep(40 * time.Second)
		expect("expired", "", 5)
		s.set(0)
		expect("not at once", "", 5)
		time.Sleep(3 * time.Second)
		expect("well again", "t6", 6)
	})
}

func TestWhatTheServerIsAsked(t *testing.T) {
	s := &server{}
	o := &OAuth2{Caller: &upcall.Caller{Handler: s}, Client: "me&you", Secret: fixed("a:b"), Scopes: []string{"read", "write"}, Params: []stream.Field{{Name: "aud", Value: "x y"}}}
	if _, err := o.fetch(); err != nil {
		t.Fatal(err)
	}
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me%26you:a%3Ab")); s.basic != want || s.asked.Encode() != "aud=x+y&grant_type=client_credentials&scope=read+write" {
		t.Errorf("asked %q with %q", s.asked.Encode(), s.basic)
	}
	o.InBody = true
	if _, err := o.fetch(); err != nil || s.basic != "" || s.asked.Get("client_id") != "me&you" || s.asked.Get("client_secret") != "a:b" {
		t.Errorf("asked %q with %q, %v", s.asked.Encode(), s.basic, err)
	}
	o.Secret = fixed("")
	if _, err := o.fetch(); err == nil || s.calls != 2 {
		t.Errorf("asked without a secret: %v", err)
	}
}

// A token that is taken can stand in a field, and ends.
// A request that is given up does not wait, and a token that is over when it comes is
// none: the next request does not fetch another one at once.
func TestSlowServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{slow: 2 * time.Second, life: `"1"`}
		o := &OAuth2{Caller: &upcall.Caller{Handler: s}, Client: "me", Secret: fixed("secret"), Retry: 3 * time.Second}
		start := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, ok := o.Value(&stream.Waiting{}); ok {
					t.Error("took a token that was over")
				}
			})
		}
		synctest.Wait()
		given := &stream.Waiting{}
		all.Go(func() {
			if _, ok := o.Value(given); ok || time.Since(start) > time.Second {
				t.Errorf("waited for %v, got one: %v", time.Since(start), ok)
			}
		})
		time.Sleep(time.Second)
		given.Abandon(stream.DownstreamTermination)
		all.Wait()
		if took := time.Since(start); took != 2*time.Second || s.calls != 1 {
			t.Errorf("took %v and %d calls", took, s.calls)
		}
	})
}

func FuzzReadToken(f *testing.F) {
	f.Add([]byte(`{"access_token": "a", "expires_in": 3600}`))
	f.Add([]byte(`{"access_token": "a\r\nb: c", "expires_in": 1e300}`))
	f.Add([]byte(`{"access_token": "a", "expires_in": "3599"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Unix(0, 0)
		if got, err := readToken(body, now); err == nil && (!fit(got.text) || got.until.Before(now) || got.until.Sub(now) > mostLife) {
			t.Errorf("took %+v", got)
		}
	})
}
