package router

import (
	"math/rand/v2"
	"strconv"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// stick makes the cookies that policies ask for and the request lacks, and puts
// them on the request, so that the hash finds them. The result is what the reply
// has to set.
func stick(policies []route.HashPolicy, req *stream.Request) []string {
	var set []string
	for i := range policies {
		p := &policies[i]
		if p.Cookie == "" || p.CookieTTL == nil {
			continue
		}
		if have, _ := req.Header.Cookie(p.Cookie); have != "" {
			continue
		}
		value := strconv.FormatUint(rand.Uint64(), 16)
		pair := p.Cookie + "=" + value
		field := pair + `; HttpOnly`
		if s := int64(p.CookieTTL.Seconds()); s > 0 {
			field = pair + "; Max-Age=" + strconv.FormatInt(s, 10) + "; HttpOnly"
		}
		if p.CookiePath != "" {
			field += "; Path=" + p.CookiePath
		}
		set = append(set, field)
		a := pair
		if have := req.Header.Get("cookie"); have != "" {
			a = have + "; " + pair
		}
		req.Header.Set("cookie", a)
	}
	return set
}

// hash makes the key for consistent balancing from the policies, in order.
func hash(policies []route.HashPolicy, req *stream.Request) (uint64, bool) {
	var key uint64
	found := false
	for i := range policies {
		value := hashed(&policies[i], req)
		if value == "" {
			continue
		}
		key = key<<1 | key>>63
		key ^= cluster.HashString(value)
		found = true
		if policies[i].Terminal {
			break
		}
	}
	return key, found
}

func hashed(p *route.HashPolicy, req *stream.Request) string {
	switch {
	case p.SourceIP:
		return req.Conn.Remote.Addr().String()
	case p.Header != "":
		return req.Header.Get(p.Header)
	case p.Query != "":
		value, _ := req.Param(p.Query)
		return value
	case p.Cookie != "":
		value, _ := req.Header.Cookie(p.Cookie)
		return value
	}
	return ""
}
