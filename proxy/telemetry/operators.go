package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// text is an operator for a value that is missing when it is empty.
func text(get func(*record) string) operator {
	return operator{write: func(b []byte, r *record) ([]byte, bool) {
		v := get(r)
		return append(b, v...), v != ""
	}}
}

func number(get func(*record) int64) operator {
	return operator{number: true, write: func(b []byte, r *record) ([]byte, bool) { return strconv.AppendInt(b, get(r), 10), true }}
}

// span is an operator for milliseconds between two marks, missing when either
// was not reached.
func span(from, to func(*stream.Info) time.Time) operator {
	return operator{number: true, write: func(b []byte, r *record) ([]byte, bool) {
		start, end := from(r.req.Info), to(r.req.Info)
		if start.IsZero() || end.IsZero() {
			return b, false
		}
		return strconv.AppendInt(b, end.Sub(start).Milliseconds(), 10), true
	}}
}

func address(get func(*record) netip.AddrPort) operator {
	return operator{write: func(b []byte, r *record) ([]byte, bool) {
		a := get(r)
		if !a.IsValid() {
			return b, false
		}
		return a.AppendTo(b), true
	}}
}

// atEnd writes one of the downstream connection's ends: at a Unix socket, its path.
func atEnd(of operator) operator {
	return operator{write: func(b []byte, r *record) ([]byte, bool) {
		b, found := of.write(b, r)
		if path := r.req.Conn.Path; !found && path != "" {
			return append(b, path...), true
		}
		return b, found
	}}
}

func addressOnly(get func(*record) netip.AddrPort) operator {
	return operator{write: func(b []byte, r *record) ([]byte, bool) {
		a := get(r)
		if !a.IsValid() {
			return b, false
		}
		return a.Addr().AppendTo(b), true
	}}
}

func portOnly(get func(*record) netip.AddrPort) operator {
	return operator{number: true, write: func(b []byte, r *record) ([]byte, bool) {
		a := get(r)
		if !a.IsValid() {
			return b, false
		}
		return strconv.AppendUint(b, uint64(a.Port()), 10), true
	}}
}

// endPort writes the port of one of the downstream connection's ends: of a Unix
// socket, nothing at all.
func endPort(get func(*record) netip.AddrPort) operator {
	port := portOnly(get)
	return operator{number: true, write: func(b []byte, r *record) ([]byte, bool) {
		b, found := port.write(b, r)
		return b, found || r.req.Conn.Path != ""
	}}
}

func start(i *stream.Info) time.Time { return i.Start }
func end(i *stream.Info) time.Time   { return i.End }

// client is who counts as the client: the socket's peer, or who trusted hops told
// of, whose port is not known.
func client(r *record) netip.AddrPort {
	if a := r.req.Info.Client; a.IsValid() {
		return netip.AddrPortFrom(a, 0)
	}
	return r.req.Conn.Remote
}

func remote(r *record) netip.AddrPort        { return r.req.Conn.Direct().Remote }
func original(r *record) netip.AddrPort      { return r.req.Conn.Original }
func upstream(r *record) netip.AddrPort      { return r.req.Info.Upstream }
func upstreamLocal(r *record) netip.AddrPort { return r.req.Info.UpstreamLocal }
func local(r *record) netip.AddrPort         { return r.req.Conn.Direct().Local }

func peer(get func(*stream.TLS) string) operator {
	return text(func(r *record) string {
		if t := r.req.Conn.TLS; t != nil {
			return get(t)
		}
		return ""
	})
}

func certificate(get func(*x509.Certificate) string) operator {
	return peer(func(t *stream.TLS) string {
		if t.Peer == nil {
			return ""
		}
		return get(t.Peer)
	})
}

// plain are the operators without an argument.
var plain = withTries(withMeters(withCertificates(map[string]operator{
	"PROTOCOL": text(func(r *record) string {
		if r.req.Method == "" {
			return ""
		}
		return r.req.Protocol.String()
	}),
	"RESPONSE_CODE":                        number(responseCode),
	"RESPONSE_FLAGS":                       text(func(r *record) string { return r.req.Info.Flags.String() }),
	"RESPONSE_FLAGS_LONG":                  text(func(r *record) string { return r.req.Info.Flags.Long() }),
	"RESPONSE_CODE_DETAILS":                text(func(r *record) string { return r.req.Info.Details }),
	"BYTES_RECEIVED":                       number(func(r *record) int64 { return r.req.Info.BytesReceived }),
	"BYTES_SENT":                           number(func(r *record) int64 { return r.req.Info.BytesSent }),
	"REQUEST_HEADERS_BYTES":                number(func(r *record) int64 { return r.req.HeadSize() }),
	"RESPONSE_HEADERS_BYTES":               number(func(r *record) int64 { return r.req.Info.ReplyHead }),
	"DURATION":                             span(start, end),
	"REQUEST_DURATION":                     span(start, func(i *stream.Info) time.Time { return i.RequestDone }),
	"REQUEST_TX_DURATION":                  span(start, func(i *stream.Info) time.Time { return i.UpstreamSent }),
	"RESPONSE_DURATION":                    span(start, func(i *stream.Info) time.Time { return i.UpstreamRecv }),
	"RESPONSE_TX_DURATION":                 span(func(i *stream.Info) time.Time { return i.UpstreamRecv }, end),
	"CONNECTION_ID":                        number(func(r *record) int64 { return int64(r.req.Conn.ID) }),
	"UPSTREAM_HOST":                        address(upstream),
	"UPSTREAM_REMOTE_ADDRESS":              address(upstream),
	"UPSTREAM_REMOTE_PORT":                 portOnly(upstream),
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": addressOnly(upstream),
	"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":  addressOnly(upstreamLocal),
	"UPSTREAM_LOCAL_PORT":                  portOnly(upstreamLocal),
	"UPSTREAM_CLUSTER":                     text(func(r *record) string { return r.req.Info.Cluster }),
	"UPSTREAM_CLUSTER_RAW":                 text(func(r *record) string { return r.req.Info.Cluster }),
	"UPSTREAM_LOCAL_ADDRESS":               address(upstreamLocal),
	"UPSTREAM_PEER_URI_SAN":                text(func(r *record) string { return r.req.Info.UpstreamURI }),
	"UPSTREAM_REQUEST_ATTEMPT_COUNT": number(func(r *record) int64 {
		return int64(r.req.Info.Attempts)
	}),
	"UPSTREAM_TRANSPORT_FAILURE_REASON":            text(func(r *record) string { return r.req.Info.UpstreamFailure }),
	"CONNECTION_TERMINATION_DETAILS":               text(func(r *record) string { return r.req.Info.Termination }),
	"DOWNSTREAM_LOCAL_ADDRESS":                     atEnd(address(original)),
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":        atEnd(addressOnly(original)),
	"DOWNSTREAM_LOCAL_PORT":                        endPort(original),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS":              atEnd(address(local)),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": atEnd(addressOnly(local)),
	"DOWNSTREAM_DIRECT_LOCAL_PORT":                 endPort(local),
	"DOWNSTREAM_DIRECT_REMOTE_PORT":                endPort(remote),
	"CONNECTION_START_TIME": {write: func(b []byte, r *record) ([]byte, bool) {
		return envoyTime(b, r.req.Conn.Start), !r.req.Conn.Start.IsZero()
	}},
	"DOWNSTREAM_REMOTE_ADDRESS":                     atEnd(address(client)),
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        atEnd(addressOnly(client)),
	"DOWNSTREAM_REMOTE_PORT":                        endPort(client),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":              atEnd(address(remote)),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": atEnd(addressOnly(remote)),
	"REQUESTED_SERVER_NAME":                         text(serverName),
	"TLS_JA3_FINGERPRINT":                           text(func(r *record) string { return r.req.Conn.JA3 }),
	"TLS_JA4_FINGERPRINT":                           text(func(r *record) string { return r.req.Conn.JA4 }),
	"ROUTE_NAME":                                    text(func(r *record) string { return r.req.Info.Route }),
	"VIRTUAL_CLUSTER_NAME":                          missing,
	"ROUNDTRIP_DURATION":                            missing, // only HTTP/3 is told when the client has the last byte
	"VIRTUAL_HOST_NAME":                             text(func(r *record) string { return r.req.Info.VirtualHost }),
	"FILTER_CHAIN_NAME":                             text(func(r *record) string { return r.req.Conn.Chain }),
	"GRPC_STATUS":                                   text(func(r *record) string { return grpcName(grpcNames[:], grpcStatus(r)) }),
	"GRPC_STATUS_NUMBER":                            grpcNumber,
	"STREAM_ID":                                     text(func(r *record) string { return r.req.Header.Get("x-request-id") }),
	"TRACE_ID": text(func(r *record) string {
		return traceID(r.req.Header.Get("traceparent"), r.req.Header.Get("x-b3-traceid"))
	}),
	"DOWNSTREAM_PEER_SUBJECT":                peer(func(t *stream.TLS) string { return t.Subject }),
	"DOWNSTREAM_PEER_FINGERPRINT_256":        peer(func(t *stream.TLS) string { return t.PeerHash }),
	"DOWNSTREAM_PEER_URI_SAN":                peer(func(t *stream.TLS) string { return strings.Join(t.URISANs, ",") }),
	"DOWNSTREAM_PEER_DNS_SAN":                peer(func(t *stream.TLS) string { return strings.Join(t.DNSSANs, ",") }),
	"DOWNSTREAM_TLS_GROUP":                   peer(func(t *stream.TLS) string { return groupName(t.Group) }),
	"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256": chain(fingerprint256), "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1": chain(fingerprint1), "DOWNSTREAM_PEER_CHAIN_SERIALS": chain(serial),
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON": missing, // a request comes by a transport that works
	"UPSTREAM_TLS_VERSION":                upstreamTLS(func(t *tls.ConnectionState) string { return versionName(t.Version) }),
	"UPSTREAM_TLS_CIPHER":                 upstreamTLS(func(t *tls.ConnectionState) string { return cipherName(t.CipherSuite) }),
	"UPSTREAM_TLS_GROUP":                  upstreamTLS(func(t *tls.ConnectionState) string { return groupName(t.CurveID) }),
	"UPSTREAM_SERVER_NAME":                upstreamTLS(func(t *tls.ConnectionState) string { return t.ServerName }),
	"UPSTREAM_HOST_NAME":                  upstreamName(address(upstream)),
	"UPSTREAM_HOST_NAME_WITHOUT_PORT":     upstreamName(addressOnly(upstream)),
	"UPSTREAM_CONNECTION_ID":              number(func(r *record) int64 { return int64(r.req.Info.UpstreamConnection) }),
	"RESPONSE_TRAILERS_BYTES":             number(trailersSize),
	"UNIQUE_ID":                           {write: func(b []byte, _ *record) ([]byte, bool) { return stream.AppendUUID(b), true }},
	"QUERY_PARAMS": text(func(r *record) string {
		_, query, _ := strings.Cut(r.req.Path, "?")
		return query
	}),
	"DOWNSTREAM_TLS_VERSION": peer(func(t *stream.TLS) string { return versionName(t.Version) }),
	"DOWNSTREAM_TLS_CIPHER":  peer(func(t *stream.TLS) string { return cipherName(t.Cipher) }),
	"START_TIME":             {write: startTime},
	"UPSTREAM_PROTOCOL":      text(func(r *record) string { return r.req.Info.UpstreamProtocol }),
	"ACCESS_LOG_TYPE":        text(func(*record) string { return "DownstreamEnd" }),
	"HOSTNAME":               text(func(*record) string { return hostname() }),
})))

// responseCode is the status that was sent, or that is about to be.
func responseCode(r *record) int64 {
	if r.req.Info.Status == 0 && r.resp != nil && r.req.Info.End.IsZero() {
		return int64(r.resp.Status)
	}
	return int64(r.req.Info.Status)
}

// startTime writes when the request began.
func startTime(b []byte, r *record) ([]byte, bool) {
	return envoyTime(b, r.req.Info.Start), true
}

// envoyTime writes a time in Envoy's default form.
func envoyTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
}

// traceID is the id of the trace that a request belongs to, as W3C's or
// Zipkin's header tells it.
func traceID(traceparent, b3 string) string {
	if parts := strings.SplitN(traceparent, "-", 4); len(parts) == 4 {
		return parts[1]
	}
	return b3
}

var grpcNames = [...]string{"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}

// grpcName is a gRPC status by its name of a list. A number that has none is itself,
// and what is no number is -1.
func grpcName(names []string, status string) string {
	n, err := strconv.ParseUint(status, 10, 32)
	switch {
	case status == "":
		return ""
	case err != nil:
		return "-1"
	case n < uint64(len(names)):
		return names[n]
	}
	return status
}

// grpcConstants are the statuses as the gRPC specification writes them.
var grpcConstants = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// grpcNumber is a gRPC status as a number; what is no status is -1.
var grpcNumber = operator{number: true, write: func(b []byte, r *record) ([]byte, bool) {
	status := grpcStatus(r)
	if status == "" {
		return b, false
	}
	if n, err := strconv.ParseUint(status, 10, 32); err == nil {
		return strconv.AppendUint(b, n, 10), true
	}
	return append(b, "-1"...), true
}}

// grpcStatus is what a call came to; nothing of a request that is no gRPC.
func grpcStatus(r *record) string {
	if !stream.IsGRPC(&r.req.Header) {
		return ""
	}
	return stream.GRPCOutcome(r.resp, "grpc-status")
}

// hostname is asked once: it does not change while the process runs.
var hostname = sync.OnceValue(func() string {
	name, _ := os.Hostname()
	return name
})

// parameterised are the operators with an argument.
var parameterised = map[string]func(argument string) (operator, error){
	"REQ":  ofRequest,
	"RESP": ofResponse, "TRAILER": ofTrailers,
	"REQUEST_HEADER": ofRequest, "RESPONSE_HEADER": ofResponse, "RESPONSE_TRAILER": ofTrailers,
	"REQ_WITHOUT_QUERY": func(a string) (operator, error) {
		return header(a, func(r *record, name string) string {
			path, _, _ := strings.Cut(requestField(r, name), "?")
			return path
		})
	},
	"GRPC_STATUS": func(a string) (operator, error) {
		switch a {
		case "", "CAMEL_STRING":
			return plain["GRPC_STATUS"], nil
		case "SNAKE_STRING":
			return text(func(r *record) string { return grpcName(grpcConstants[:], grpcStatus(r)) }), nil
		case "NUMBER":
			return grpcNumber, nil
		}
		return operator{}, fmt.Errorf("%q is no form of a status: want CAMEL_STRING, SNAKE_STRING or NUMBER", a)
	},
	"START_TIME":       timeOperator(func(r *record) time.Time { return r.req.Info.Start }),
	"START_TIME_LOCAL": timeOperator(func(r *record) time.Time { return inZone(r.req.Info.Start) }),
	"EMIT_TIME":        timeOperator(func(*record) time.Time { return time.Now() }),
	"EMIT_TIME_LOCAL":  timeOperator(func(*record) time.Time { return inZone(time.Now()) }),
	"ENVIRONMENT": func(name string) (operator, error) {
		if name == "" {
			return operator{}, errors.New("want the name of a variable")
		}
		value := os.Getenv(name) // no setting of ours: Envoy's operator asks for it, and it does not change
		return text(func(*record) string { return value }), nil
	},
	"REQUESTED_SERVER_NAME": requestedServerName, "PATH": path,
	"DOWNSTREAM_PEER_CERT_V_START": validity(downstreamPeer, validFrom), "DOWNSTREAM_PEER_CERT_V_END": validity(downstreamPeer, validTo),
	"UPSTREAM_PEER_CERT_V_START": validity(upstreamPeer, validFrom), "UPSTREAM_PEER_CERT_V_END": validity(upstreamPeer, validTo),
	"DYNAMIC_METADATA": metadataOf("DYNAMIC"), "CLUSTER_METADATA": metadataOf("CLUSTER"), "UPSTREAM_METADATA": metadataOf("UPSTREAM_HOST"),
	"METADATA":     metadata,
	"FILTER_STATE": filterState(func(r *record, key string) (string, bool) { return r.req.State(key) }, downstreamFields), "UPSTREAM_FILTER_STATE": filterState(upstreamState, noFields),
	"QUERY_PARAM":     queryParam,
	"COMMON_DURATION": commonDuration,
	"CEL":             expression,
}

func ofRequest(name string) (operator, error)  { return header(name, requestField) }
func ofResponse(name string) (operator, error) { return header(name, responseField) }
func ofTrailers(name string) (operator, error) { return header(name, trailerField) }

var errNoHeader = errors.New("want the name of a header field")

// header is an operator for a field, with an alternative behind "?".
func header(argument string, get func(*record, string) string) (operator, error) {
	name, alternative, _ := strings.Cut(argument, "?")
	if name == "" {
		return operator{}, errNoHeader
	}
	name, alternative = strings.ToLower(name), strings.ToLower(alternative)
	return text(func(r *record) string {
		v := get(r, name)
		if v == "" && alternative != "" {
			v = get(r, alternative)
		}
		return v
	}), nil
}

func requestField(r *record, name string) string {
	switch name {
	case ":method":
		return r.req.Method
	case ":path":
		return r.req.Path
	case ":authority", "host":
		return r.req.Authority
	case ":scheme":
		return r.req.Scheme
	}
	return r.req.Header.Get(name)
}

func responseField(r *record, name string) string {
	if r.resp == nil {
		return ""
	}
	if name == ":status" {
		return strconv.Itoa(r.resp.Status)
	}
	return r.resp.Header.Get(name)
}

func trailerField(r *record, name string) string {
	if r.resp == nil || r.resp.Body == nil {
		return ""
	}
	if t := r.resp.Body.Trailers(); t != nil {
		return t.Get(name)
	}
	return ""
}
