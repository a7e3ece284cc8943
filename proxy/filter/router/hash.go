package router

import (
	"strings"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

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
		_, query, _ := strings.Cut(req.Path, "?")
		for query != "" {
			var pair string
			pair, query, _ = strings.Cut(query, "&")
			if name, value, _ := strings.Cut(pair, "="); name == p.Query {
				return value
			}
		}
	case p.Cookie != "":
		return cookie(req.Header.Get("cookie"), p.Cookie)
	}
	return ""
}

func cookie(all, name string) string {
	for all != "" {
		var pair string
		pair, all, _ = strings.Cut(all, ";")
		if n, value, _ := strings.Cut(strings.TrimSpace(pair), "="); n == name {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
