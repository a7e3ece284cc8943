package jwt

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Provider is who issues tokens, where requests carry them, and what becomes of
// them.
type Provider struct {
	Name string
	// Issuer that tokens have to name; empty for any.
	Issuer    string
	Audiences []string // one of them has to be named; nil for any
	Subject   *route.StringMatch
	// RequireExpiration refuses tokens that never expire, MaxLifetime those that
	// live longer; 0 is any.
	RequireExpiration bool
	MaxLifetime       time.Duration
	Skew              time.Duration // that clocks may differ by
	Keys              *Keys

	Headers         []HeaderPlace
	Params, Cookies []string
	// Forward leaves the token in the request.
	Forward bool

	// PayloadHeader is told the claims, in base64url; empty for none.
	PayloadHeader string
	Pad           bool
	ClaimHeaders  []ClaimHeader
	// ClaimsKey and HeaderKey are where claims and the token's header are left in
	// the request's metadata, FailureKey why it was refused; empty for nowhere.
	ClaimsKey, HeaderKey, FailureKey string
	// SplitClaims are strings of words that are left as lists.
	SplitClaims []string

	verified cache
}

// HeaderPlace is a field that carries a token behind a prefix.
type HeaderPlace struct{ Name, Prefix string }

// ClaimHeader tells upstreams one claim.
type ClaimHeader struct {
	Header string
	Claim  []string // path
}

// reason is why a token is refused, in Envoy's words.
type reason string

// Error gives the reason.
func (r reason) Error() string { return string(r) }

// The reasons.
const (
	errMissing     reason = "Jwt is missing"
	errForm        reason = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	errHeaderCode  reason = "Jwt header is an invalid Base64url encoded"
	errHeaderJSON  reason = "Jwt header is an invalid JSON"
	errAlgorithm   reason = "Jwt header [alg] field is required and must be a string"
	errUnsupported reason = "Jwt header [alg] is not supported"
	errPayloadCode reason = "Jwt payload is an invalid Base64url encoded"
	errPayloadJSON reason = "Jwt payload is an invalid JSON"
	errSignature   reason = "Jwt signature is an invalid Base64url encoded"
	errIssuer      reason = "Jwt issuer is not configured"
	errSubject     reason = "Jwt subject is not allowed"
	errNotYet      reason = "Jwt not yet valid"
	errExpired     reason = "Jwt is expired"
	errLifetime    reason = "Jwt lifetime exceeds the maximum"
	errAudience    reason = "Audiences in Jwt are not allowed"
	errVerify      reason = "Jwt verification fails"
	errNoKey       reason = "Jwks doesn't have key to match kid or alg from Jwt"
	errFetch       reason = "Jwks remote fetch is failed"
)

// clean takes off a request what only this provider may tell.
func (p *Provider) clean(req *stream.Request) {
	if p.PayloadHeader != "" {
		req.Header.Del(p.PayloadHeader)
	}
	for _, c := range p.ClaimHeaders {
		req.Header.Del(c.Header)
	}
}

// placed is a token and who may have issued it, by where it was found.
type placed struct {
	token     string
	providers []*Provider
	remove    func(*stream.Request)
}

// find collects the tokens in the places of some providers.
func find(req *stream.Request, providers []*Provider) []placed {
	var found []placed
	add := func(token string, p *Provider, remove func(*stream.Request)) {
		if token == "" {
			return
		}
		for i := range found {
			if found[i].token == token {
				found[i].providers = append(found[i].providers, p)
				return
			}
		}
		found = append(found, placed{token, []*Provider{p}, remove})
	}
	for _, p := range providers {
		for _, h := range p.Headers {
			value := req.Header.Get(h.Name)
			if i := strings.Index(value, h.Prefix); i >= 0 && value != "" {
				add(tokenIn(value[i+len(h.Prefix):]), p, func(req *stream.Request) { req.Header.Del(h.Name) })
			}
		}
		for _, name := range p.Params {
			add(param(req, name), p, func(req *stream.Request) { dropParam(req, name) })
		}
		for _, name := range p.Cookies {
			value, _ := req.Header.Cookie(name)
			add(value, p, func(*stream.Request) {})
		}
	}
	return found
}

// tokenIn is the token at the beginning of a text: up to a byte that no token
// has.
func tokenIn(s string) string {
	s = strings.TrimLeft(s, " \t")
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '.' && c != '-' && c != '_' && c != '=' && c != '/' && c != '+' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return s[:i]
		}
	}
	return s
}

func param(req *stream.Request, name string) string {
	_, query, found := strings.Cut(req.Path, "?")
	if !found {
		return ""
	}
	values, _ := url.ParseQuery(query) // what can be read of it
	return values.Get(name)
}

// dropParam takes a parameter out of the query and leaves the others as they
// are.
func dropParam(req *stream.Request, name string) {
	path, query, _ := strings.Cut(req.Path, "?")
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(key)
		return err == nil && plain == name
	})
	if req.Path = path; len(kept) > 0 {
		req.Path += "?" + strings.Join(kept, "&")
	}
}

// verify checks the token, and tells of its claims.
func (t *placed) verify(req *stream.Request, audiences []string) error {
	parsed, err := parse(t.token)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.providers, func(p *Provider) bool { return p.Issuer == "" || p.Issuer == parsed.claims["iss"] })
	if i < 0 {
		return errIssuer
	}
	p := t.providers[i]
	if err := p.accept(parsed, audiences); err != nil {
		if p.FailureKey != "" {
			why := errFetch
			errors.As(err, &why)
			req.Info.Metadata.Set(Namespace, p.FailureKey, map[string]any{"message": string(why)})
		}
		return err
	}
	p.tell(req, parsed)
	if !p.Forward {
		t.remove(req)
	}
	return nil
}

// accept checks what the provider asks of a token.
func (p *Provider) accept(t *token, audiences []string) error {
	if p.Subject != nil {
		if subject, _ := t.claims["sub"].(string); !p.Subject.Holds(subject) {
			return errSubject
		}
	}
	if err := p.inTime(t, time.Now()); err != nil {
		return err
	}
	if audiences == nil {
		audiences = p.Audiences
	}
	if len(audiences) > 0 && !named(t.claims["aud"], audiences) {
		return errAudience
	}
	keys, err := p.Keys.get()
	if err != nil {
		return err
	}
	if p.verified.has(t.text, keys) {
		return nil
	}
	if err := keys.verify(t); err != nil {
		return err
	}
	p.verified.add(t.text, keys)
	return nil
}

func (p *Provider) inTime(t *token, now time.Time) error {
	seconds := func(name string) (time.Time, bool) {
		n, ok := t.claims[name].(float64)
		return time.Unix(int64(n), 0), ok && n != 0
	}
	if from, set := seconds("nbf"); set && now.Add(p.Skew).Before(from) {
		return errNotYet
	}
	until, set := seconds("exp")
	switch {
	case set && now.Add(-p.Skew).After(until), !set && p.RequireExpiration:
		return errExpired
	case p.MaxLifetime > 0:
		from, issued := seconds("iat")
		if !issued {
			from = now
		}
		if !set || until.Sub(from) > p.MaxLifetime {
			return errLifetime
		}
	}
	return nil
}

// named reports whether one of the allowed audiences is among a token's, which
// is a string or a list. As with Envoy, scheme and closing slash do not count.
func named(claim any, allowed []string) bool {
	plain := func(s string) string {
		s = strings.TrimPrefix(strings.TrimPrefix(s, "http://"), "https://")
		return strings.TrimSuffix(s, "/")
	}
	is := func(v any) bool {
		s, ok := v.(string)
		return ok && slices.ContainsFunc(allowed, func(a string) bool { return plain(a) == plain(s) })
	}
	if list, ok := claim.([]any); ok {
		return slices.ContainsFunc(list, is)
	}
	return is(claim)
}

// tell leaves the claims where the provider says.
func (p *Provider) tell(req *stream.Request, t *token) {
	if p.PayloadHeader != "" {
		value := strings.TrimRight(t.payload, "=")
		if p.Pad {
			value += strings.Repeat("=", (4-len(value)%4)%4)
		}
		req.Header.Set(p.PayloadHeader, value)
	}
	for _, c := range p.ClaimHeaders {
		if value, found := stream.Walk(t.claims, c.Claim...); found {
			switch text, ok := claimText(value); {
			case ok && stream.ValidValue(text):
				req.Header.Set(c.Header, text)
			case ok: // nothing that a field can say, and nothing that the client said
				req.Header.Del(c.Header)
			}
		}
	}
	if p.HeaderKey != "" {
		req.Info.Metadata.Set(Namespace, p.HeaderKey, t.header)
	}
	if p.ClaimsKey == "" {
		return
	}
	claims := t.claims
	for _, name := range p.SplitClaims {
		if text, ok := claims[name].(string); ok {
			words := []any{}
			for _, w := range strings.Fields(text) {
				words = append(words, w)
			}
			claims[name] = words
		}
	}
	req.Info.Metadata.Set(Namespace, p.ClaimsKey, claims)
}

// claimText is a claim as a field's value: lists and objects as JSON in base64.
func claimText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case nil:
		return "", false
	}
	text, err := json.Marshal(v)
	return base64.StdEncoding.EncodeToString(text), err == nil
}
