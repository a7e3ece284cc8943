package telemetry

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// upstreamName is the endpoint's host name, else what otherwise gives.
func upstreamName(otherwise operator) operator {
	return operator{write: func(b []byte, r *record) ([]byte, bool) {
		if name := r.req.Info.UpstreamName; name != "" {
			return append(b, name...), true
		}
		return otherwise.write(b, r)
	}}
}

// trailersSize counts the names and values of a response's trailers.
func trailersSize(r *record) (n int64) {
	if r.resp == nil || r.resp.Body == nil || r.resp.Body.Trailers() == nil {
		return 0
	}
	t := r.resp.Body.Trailers()
	for i := range t.Len() {
		f := t.At(i)
		n += int64(len(f.Name) + len(f.Value))
	}
	return n
}

func timeOperator(get func(*record) time.Time) func(string) (operator, error) {
	return func(layout string) (operator, error) {
		write, err := timeFormat(layout)
		return operator{write: func(b []byte, r *record) ([]byte, bool) { return write(b, get(r)), true }}, err
	}
}

// inZone is a time whose clock, read as if it were in UTC, is that of the machine's
// zone.
func inZone(t time.Time) time.Time {
	_, offset := t.Local().Zone()
	return t.Add(time.Duration(offset) * time.Second)
}

// path is an operator for the request's path: with its query (WQ) or without (NQ), and
// behind a colon which path: as it came (ORIG), as it went on (PATH), or the first
// that there is (ORIG_OR_PATH).
func path(argument string) (operator, error) {
	query, which, _ := strings.Cut(argument, ":")
	switch query {
	case "", "WQ", "NQ":
	default:
		return operator{}, fmt.Errorf("%q: want WQ or NQ", query)
	}
	const came = "x-envoy-original-path"
	var get func(*record) string
	switch which {
	case "ORIG":
		get = func(r *record) string { return r.req.Header.Get(came) }
	case "PATH":
		get = func(r *record) string { return r.req.Path }
	case "", "ORIG_OR_PATH":
		get = func(r *record) string {
			if p := r.req.Header.Get(came); p != "" {
				return p
			}
			return r.req.Path
		}
	default:
		return operator{}, fmt.Errorf("%q: want ORIG, PATH or ORIG_OR_PATH", which)
	}
	return text(func(r *record) string {
		p := get(r)
		if query == "NQ" {
			p, _, _ = strings.Cut(p, "?")
		}
		return p
	}), nil
}

// serverName is the name that the client has asked for in TLS.
func serverName(r *record) string {
	if t := r.req.Conn.TLS; t != nil {
		return t.SNI
	}
	return r.req.Conn.SNI
}

// requestedServerName is an operator for the name that the client wants: the one of TLS
// alone (SNI_ONLY), or with the request's host behind it (SNI_FIRST) or before it
// (HOST_FIRST), and behind a colon which host: as it came (ORIG), as it went on (HOST),
// or the first that there is (ORIG_OR_HOST).
func requestedServerName(argument string) (operator, error) {
	order, which, _ := strings.Cut(argument, ":")
	var host func(*record) string
	came := func(r *record) string { return r.req.Header.Get("x-envoy-original-host") }
	went := func(r *record) string { return r.req.Authority }
	switch which {
	case "ORIG":
		host = came
	case "HOST":
		host = went
	case "", "ORIG_OR_HOST":
		host = func(r *record) string { return cmp.Or(came(r), went(r)) }
	default:
		return operator{}, fmt.Errorf("%q: want ORIG, HOST or ORIG_OR_HOST", which)
	}
	switch order {
	case "", "SNI_ONLY":
		return plain["REQUESTED_SERVER_NAME"], nil
	case "SNI_FIRST":
		return text(func(r *record) string { return cmp.Or(serverName(r), host(r)) }), nil
	case "HOST_FIRST":
		return text(func(r *record) string { return cmp.Or(host(r), serverName(r)) }), nil
	}
	return operator{}, fmt.Errorf("%q: want SNI_ONLY, SNI_FIRST or HOST_FIRST", order)
}
