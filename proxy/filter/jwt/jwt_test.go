package jwt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

type signer struct {
	jose.Signer
	set string
}

func newSigner(t *testing.T, id string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: id}}})
	if err != nil {
		t.Fatal(err)
	}
	return signer{s, string(set)}
}

func (s signer) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, _ := json.Marshal(claims)
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := signed.CompactSerialize()
	return text
}

func asking(token string) *stream.Request {
	req := &stream.Request{Method: "GET", Scheme: "http", Authority: "shop", Path: "/cart", Conn: &stream.Conn{}, Info: &stream.Info{}}
	if token != "" {
		req.Header.Add("Authorization", "Bearer "+token)
	}
	return req
}

var bearerPlace = []HeaderPlace{{"authorization", "Bearer "}}

type last struct{ req *stream.Request }

func (l *last) Handle(req *stream.Request) (*stream.Response, error) {
	l.req = req
	return &stream.Response{Status: 200}, nil
}

// Claims reach later filters, upstreams get what the provider says, and the token
// is taken off.
func TestClaimsAreTold(t *testing.T) {
	s := newSigner(t, "k")
	keys, err := Given(s.set)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Issuer: "i", Keys: keys, Headers: bearerPlace, ClaimsKey: "payload", HeaderKey: "head", PayloadHeader: "x-payload", Pad: true,
		ClaimHeaders: []ClaimHeader{{"x-sub", []string{"sub"}}, {"x-deep", []string{"a", "b"}}, {"x-lines", []string{"lines"}}}, SplitClaims: []string{"scope"}}
	f := &Filter{Rules: []Rule{{Needs: &By{Provider: p}}}}
	f.Rules[0].Match.Value = "/"
	var l last
	req := asking(s.token(t, map[string]any{"iss": "i", "sub": "jason", "scope": "read write", "a": map[string]any{"b": true}, "lines": "a\r\nx-admin: 1"}))
	req.Header.Add("x-lines", "forged")
	req.Header.Add("x-sub", "forged")
	if _, err := f.Handle(req, &l); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x-sub": "jason", "x-deep": "true", "authorization": "", "x-lines": ""} {
		if got := l.req.Header.Get(name); got != want {
			t.Errorf("%s: got %q; want %q", name, got, want)
		}
	}
	if l.req.Header.Get("x-payload") == "" {
		t.Error("no payload told")
	}
	if v, _ := req.Info.Metadata.Get(Namespace, "payload", "scope"); len(v.([]any)) != 2 {
		t.Errorf("scope is %v", v)
	}
	if v, _ := req.Info.Metadata.Get(Namespace, "head", "kid"); v != "k" {
		t.Errorf("kid is %v", v)
	}
}

// keyServer answers with a key set, or with a failure.
type keyServer struct {
	set    atomic.Value
	status atomic.Int32
	calls  atomic.Int32
	delay  time.Duration
}

func (k *keyServer) Handle(*stream.Request) (*stream.Response, error) {
	k.calls.Add(1)
	time.Sleep(k.delay) // mesh time
	set, _ := k.set.Load().(string)
	return &stream.Response{Status: int(k.status.Load()), Body: stream.NewBytes([]byte(set)), Length: int64(len(set))}, nil
}

// Keys are fetched once for all who wait, again when they are old, and old ones
// serve while new ones fail to come.
func TestRemoteKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, "k")
		server := &keyServer{delay: time.Second}
		server.set.Store(s.set)
		server.status.Store(200)
		p := &Provider{Issuer: "i", Headers: bearerPlace, Keys: &Keys{Caller: &upcall.Caller{Handler: server}, Keep: time.Minute}}
		token := s.token(t, map[string]any{"iss": "i"})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := (&By{Provider: p}).Check(asking(token)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := server.calls.Load(); n != 1 {
			t.Errorf("%d fetches; want one for all", n)
		}
		time.Sleep(2 * time.Minute)
		server.status.Store(500)
		for range 3 {
			if err := (&By{Provider: p}).Check(asking(token)); err != nil {
				t.Errorf("the old keys do not serve: %v", err)
			}
		}
		if n := server.calls.Load(); n != 2 {
			t.Errorf("%d fetches; want a failed one not to be repeated at once", n)
		}
	})
}

func TestKeysThatNeverCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, "k")
		server := &keyServer{}
		server.status.Store(503)
		p := &Provider{Headers: bearerPlace, Keys: &Keys{Caller: &upcall.Caller{Handler: server}, Keep: time.Minute}}
		f := &Filter{Rules: []Rule{{Needs: &By{Provider: p}}}}
		_, err := f.Handle(asking(s.token(t, map[string]any{})), &last{})
		if r := stream.AsRefusal(err); r.Status != 401 || r.Body != string(errFetch) {
			t.Errorf("got %+v", r)
		}
	})
}

// The first rule that matches decides; requests that none matches go on.
func TestRulesAndPreflight(t *testing.T) {
	keys, err := Given(newSigner(t, "k").set)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Headers: bearerPlace, Keys: keys}
	f := &Filter{BypassPreflight: true, Strip: true, Rules: []Rule{{}, {Needs: &By{Provider: p}}}}
	f.Rules[0].Match.Value, f.Rules[1].Match.Value = "/public", "/"
	ask := func(path string) error {
		req := asking("")
		req.Path = path
		_, err := f.Handle(req, &last{})
		return err
	}
	if err := ask("/public/x"); err != nil {
		t.Error(err)
	}
	if r := stream.AsRefusal(ask("/private")); r.Status != 401 || r.Body != "" || len(r.Header) > 0 {
		t.Errorf("got %+v; want a refusal without a reason", r)
	}
	req := asking("")
	req.Method = "OPTIONS"
	req.Header.Add("origin", "x")
	req.Header.Add("access-control-request-method", "GET")
	if _, err := f.Handle(req, &last{}); err != nil {
		t.Error(err)
	}
}

func TestTimes(t *testing.T) {
	now := time.Unix(1000, 0)
	p := &Provider{Skew: 10 * time.Second, RequireExpiration: true, MaxLifetime: time.Minute}
	for name, tc := range map[string]struct {
		claims map[string]any
		want   error
	}{
		"fine":            {map[string]any{"exp": 1030.0, "iat": 990.0}, nil},
		"within the skew": {map[string]any{"exp": 995.0, "nbf": 1005.0}, nil},
		"expired":         {map[string]any{"exp": 985.0}, errExpired},
		"not yet":         {map[string]any{"nbf": 1015.0, "exp": 1020.0}, errNotYet},
		"for ever":        {map[string]any{}, errExpired},
		"for too long":    {map[string]any{"iat": 990.0, "exp": 1090.0}, errLifetime},
	} {
		if err := p.inTime(&token{claims: tc.claims}, now); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v; want %v", name, err, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.AA")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := parse(text); err == nil && (tok.claims == nil || tok.algorithm == "") {
			t.Errorf("%q parses without claims or algorithm", text)
		}
	})
}
