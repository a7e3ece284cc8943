package jwt

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// token is one whose form is right; nothing in it is proven.
type token struct {
	text, payload    string
	header, claims   map[string]any
	algorithm, keyID string
}

var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512,
}

func parse(text string) (*token, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return nil, errForm
	}
	t := &token{text: text, payload: parts[1]}
	if err := section(parts[0], &t.header, errHeaderCode, errHeaderJSON); err != nil {
		return nil, err
	}
	var ok bool
	if t.algorithm, ok = t.header["alg"].(string); !ok {
		return nil, errAlgorithm
	}
	supported := false
	for _, a := range algorithms {
		supported = supported || string(a) == t.algorithm
	}
	if !supported {
		return nil, errUnsupported
	}
	t.keyID, _ = t.header["kid"].(string)
	if err := section(parts[1], &t.claims, errPayloadCode, errPayloadJSON); err != nil {
		return nil, err
	}
	if _, err := decode(parts[2]); err != nil {
		return nil, errSignature
	}
	return t, nil
}

func decode(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}

func section(s string, into *map[string]any, code, syntax reason) error {
	raw, err := decode(s)
	if err != nil {
		return code
	}
	if json.Unmarshal(raw, into) != nil || *into == nil {
		return syntax
	}
	return nil
}

// keySet is public keys by which tokens are verified. It is immutable.
type keySet struct{ keys []jose.JSONWebKey }

// parseKeys reads a JSON Web Key Set. Keys of kinds that are not known are left
// out (RFC 7517 section 5).
func parseKeys(text []byte) (*keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	out := &keySet{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() {
			out.keys = append(out.keys, k)
		}
	}
	return out, nil
}

// verify checks the signature with each key that may have made it.
func (s *keySet) verify(t *token) error {
	signed, err := jose.ParseSigned(t.text, algorithms)
	if err != nil {
		return errVerify
	}
	why := errNoKey
	for _, k := range s.keys {
		if t.keyID != "" && k.KeyID != "" && k.KeyID != t.keyID || k.Algorithm != "" && k.Algorithm != t.algorithm {
			continue
		}
		if _, err := signed.Verify(k.Key); err == nil {
			return nil
		}
		why = errVerify
	}
	return why
}

// cache remembers tokens whose signature was good, for one set of keys.
type cache struct {
	mu   sync.Mutex
	set  *keySet             // guarded by mu
	good map[string]struct{} // guarded by mu
}

// cacheSize bounds a cache: it is emptied when it is full.
const cacheSize = 1000

func (c *cache) has(text string, set *keySet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.good[text]
	return found && c.set == set
}

func (c *cache) add(text string, set *keySet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set != set || len(c.good) >= cacheSize {
		c.set, c.good = set, map[string]struct{}{}
	}
	c.good[strings.Clone(text)] = struct{}{}
}
