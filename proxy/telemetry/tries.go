package telemetry

import (
	"encoding/hex"
	"strconv"
)

// withTries adds the operators of how requests have got to their upstreams and how
// connections ended.
func withTries(all map[string]operator) map[string]operator {
	name := func(otherwise operator) operator { return attempted(upstreamName(otherwise)) }
	for word, op := range map[string]operator{
		// Envoy tells of each try apart and keeps what the last one has told: the endpoint
		// that it had a connection to.
		"UPSTREAM_HOSTS_ATTEMPTED":                   attempted(address(upstream)),
		"UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT":      attempted(addressOnly(upstream)),
		"UPSTREAM_HOST_NAMES_ATTEMPTED":              name(address(upstream)),
		"UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT": name(addressOnly(upstream)),
		"UPSTREAM_CONNECTION_IDS_ATTEMPTED": attempted(operator{write: func(b []byte, r *record) ([]byte, bool) {
			return strconv.AppendUint(b, r.req.Info.UpstreamConnection, 10), true
		}}),
		// Only internal addresses have endpoint ids.
		"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID":         attempted(nothing),
		"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID":        nothing,
		"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID": nothing,

		"UPSTREAM_CONNECTION_POOL_READY_DURATION": {number: true, write: func(b []byte, r *record) ([]byte, bool) {
			i := r.req.Info
			return strconv.AppendInt(b, i.UpstreamWait.Milliseconds(), 10), i.UpstreamAsked
		}},
		"DOWNSTREAM_HANDSHAKE_DURATION": missing, // Envoy only has it for QUIC

		// A request is logged before its connections end: in whichever way they do, Envoy
		// has nothing else to tell of them then. How connections ended that have lines of
		// their own is not known.
		"DOWNSTREAM_LOCAL_CLOSE_REASON":  missing,
		"UPSTREAM_LOCAL_CLOSE_REASON":    missing,
		"DOWNSTREAM_DETECTED_CLOSE_TYPE": provided(isRequest, normal),
		"UPSTREAM_DETECTED_CLOSE_TYPE":   provided(func(r *record) bool { return isRequest(r) && r.req.Info.UpstreamAsked }, normal),

		"LOCAL_REPLY_BODY": {write: func(b []byte, r *record) ([]byte, bool) { return append(b, r.body...), true }},
		"CUSTOM_FLAGS":     nothing, // those of extensions, which there are none of
		"SPAN_ID": text(func(r *record) string {
			if t := &r.req.Info.Trace; t.ID != [16]byte{} {
				return hex.EncodeToString(t.Span[:])
			}
			return ""
		}),
	} {
		all[word] = op
	}
	return all
}

var (
	nothing = operator{write: func(b []byte, _ *record) ([]byte, bool) { return b, true }}
	missing = operator{write: func(b []byte, _ *record) ([]byte, bool) { return b, false }}
	normal  = text(func(*record) string { return "Normal" })
)

// isRequest reports whether a record is of a request, as opposed to a connection.
func isRequest(r *record) bool { return r.req.Method != "" || r.resp != nil }

func provided(holds func(*record) bool, op operator) operator {
	return operator{number: op.number, write: func(b []byte, r *record) ([]byte, bool) {
		if !holds(r) {
			return b, false
		}
		return op.write(b, r)
	}}
}

// attempted is an operator for a fact of the endpoint that the last try had a connection
// to.
func attempted(op operator) operator {
	return provided(func(r *record) bool { return r.req.Info.UpstreamConnection != 0 }, op)
}
