package router

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// stick makes the cookies that policies ask for and the request lacks, where the
// cluster keeps requests on one endpoint. The result is their common value, and the
// fields that the reply has to set.
func stick(policies []route.HashPolicy, c *cluster.Cluster, req *stream.Request) (value string, fields []string) {
	if c.Policy != cluster.RingHash && c.Policy != cluster.Maglev {
		return "", nil
	}
	for i := range policies {
		p := &policies[i]
		if p.Cookie == "" || p.CookieTTL == nil {
			continue
		}
		if have, _ := req.Header.Cookie(p.Cookie); have != "" {
			continue
		}
		if value == "" {
			value = fmt.Sprintf("%016x", rand.Uint64())
		}
		field := p.Cookie + `="` + value + `"`
		if s := int64(p.CookieTTL.Seconds()); s > 0 {
			field += "; Max-Age=" + strconv.FormatInt(s, 10)
		}
		if p.CookiePath != "" {
			field += "; Path=" + p.CookiePath
		}
		for _, a := range p.Attributes {
			field += "; " + a.Name
			if a.Value != "" {
				field += "=" + a.Value
			}
		}
		fields = append(fields, field+"; HttpOnly")
	}
	return value, fields
}

// hash makes the key for consistent balancing from the policies, in order. made is
// the value of cookies that the request does not have yet.
func hash(policies []route.HashPolicy, req *stream.Request, made string) (uint64, bool) {
	var key uint64
	found := false
	for i := range policies {
		value := hashed(&policies[i], req, made)
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

func hashed(p *route.HashPolicy, req *stream.Request, made string) string {
	switch {
	case p.SourceIP && !req.Conn.Remote.IsValid(): // a Unix socket
		return ""
	case p.SourceIP:
		return req.Conn.Remote.Addr().String()
	case p.Header != "":
		value := req.Header.Get(p.Header)
		if p.Pattern != nil && value != "" {
			value = p.Pattern.ReplaceAllString(value, p.Substitution)
		}
		return value
	case p.Query != "":
		value, _ := req.Param(p.Query)
		return value
	case p.Cookie != "":
		value, _ := req.Header.Cookie(p.Cookie)
		if value == "" && p.CookieTTL != nil {
			value = made
		}
		return value
	}
	return ""
}
