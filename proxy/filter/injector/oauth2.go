package injector

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// OAuth2 is a token that an authorization server gives a client (RFC 6749 section
// 4.4), fetched when a request needs one. When half of its time is over, the next
// request fetches another one; while none comes the old one serves until its end.
type OAuth2 struct {
	Caller *upcall.Caller
	Scheme string
	Path   string
	Client string
	// Secret is the client's own.
	Secret Secret
	// InBody sends both in the body, for servers that do not take them otherwise.
	InBody bool
	Scopes []string
	// Params are further parameters of the body.
	Params []stream.Field
	// Retry is how long a failed fetch is not repeated, 2 s when zero.
	Retry time.Duration
	// Failed is told why there is no token; may be nil.
	Failed func(error)

	mu       sync.Mutex
	token    *token        // guarded by mu; nil before the first
	failed   time.Time     // guarded by mu: when a fetch last came to nothing
	fetching chan struct{} // guarded by mu; closed when it is over, nil when nobody fetches
}

// token is one with its times.
type token struct {
	text         string
	renew, until time.Time
}

const defaultRetry = 2 * time.Second

// Value implements [Credential]. One request fetches, until the call is over; the
// others wait for it if they have to.
func (o *OAuth2) Value(w *stream.Waiting) (string, bool) {
	o.mu.Lock()
	for {
		now := time.Now()
		valid := o.token != nil && now.Before(o.token.until)
		if valid && (now.Before(o.token.renew) || o.fetching != nil) || !o.failed.IsZero() && now.Sub(o.failed) < cmp.Or(o.Retry, defaultRetry) {
			defer o.mu.Unlock()
			return o.current(now)
		}
		if o.fetching == nil {
			break
		}
		over := o.fetching
		o.mu.Unlock()
		if !w.Until(over, mostLife) { // the call has a timeout
			return "", false
		}
		o.mu.Lock()
	}
	over := make(chan struct{})
	o.fetching = over
	o.mu.Unlock()

	got, err := o.fetch()
	if err == nil && !time.Now().Before(got.until) {
		err = errors.New("fetch a token: it had expired when it came")
	}
	if err != nil && o.Failed != nil {
		o.Failed(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	defer close(over)
	if o.fetching = nil; err != nil {
		o.failed = time.Now()
	} else {
		o.token, o.failed = got, time.Time{}
	}
	return o.current(time.Now())
}

// current is the token if it still holds. The caller holds mu.
func (o *OAuth2) current(now time.Time) (string, bool) {
	if o.token == nil || !now.Before(o.token.until) {
		return "", false
	}
	return o.token.text, true
}

func (o *OAuth2) fetch() (*token, error) {
	secret, ok := o.Secret.Value(nil)
	if !ok {
		return nil, fmt.Errorf("fetch a token: the secret of client %q is not there", o.Client)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	header := []stream.Field{{Name: "content-type", Value: "application/x-www-form-urlencoded"}, {Name: "accept", Value: "application/json"}}
	if o.InBody {
		form.Set("client_id", o.Client)
		form.Set("client_secret", secret)
	} else { // encoded before they are joined (RFC 6749 section 2.3.1)
		pair := url.QueryEscape(o.Client) + ":" + url.QueryEscape(secret)
		header = append(header, stream.Field{Name: "authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))})
	}
	if len(o.Scopes) > 0 {
		form.Set("scope", strings.Join(o.Scopes, " "))
	}
	for _, p := range o.Params {
		form.Add(p.Name, p.Value)
	}
	asked := time.Now()
	reply, err := o.Caller.Do(nil, upcall.Call{Method: "POST", Scheme: o.Scheme, Path: o.Path, Header: header, Body: []byte(form.Encode())})
	if err != nil {
		return nil, fmt.Errorf("fetch a token: %w", err)
	}
	if reply.Status != 200 {
		return nil, fmt.Errorf("fetch a token: the authorization server answered %d", reply.Status)
	}
	return readToken(reply.Body, asked)
}

// mostLife bounds the time that a server gives a token.
const mostLife = 365 * 24 * time.Hour

// readToken reads the reply (RFC 6749 section 5.1). Without a lifetime nobody knows
// when to fetch the next one: Envoy takes no such token either.
func readToken(body []byte, asked time.Time) (*token, error) {
	var reply struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"` // some servers write a string
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, fmt.Errorf("read the authorization server's answer: %w", err)
	}
	expires, err := reply.Expires.Float64()
	if !fit(reply.Token) || err != nil || expires <= 0 {
		return nil, fmt.Errorf("the authorization server's answer has no access_token, or no expires_in")
	}
	life := mostLife
	if expires < mostLife.Seconds() {
		life = time.Duration(expires * float64(time.Second))
	}
	return &token{text: reply.Token, renew: asked.Add(life / 2), until: asked.Add(life)}, nil
}
