package stream

import (
	"slices"
	"strconv"
	"time"
)

// Reply turns a refusal into the response that a codec sends: the one place
// where that happens. into is reused memory of the connection's. A caller that
// speaks gRPC is answered in gRPC: status 200 with the outcome in its fields.
func Reply(req *Request, r *Refusal, into *Response) *Response {
	req.Info.Flags |= r.Flags
	req.Info.Details = r.Details
	header := into.Header
	header.Reset()
	*into = Response{Status: r.Status, Header: header, Length: int64(len(r.Body))}
	if r.Status != 0 && IsGRPC(&req.Header) {
		return grpcReply(r, into)
	}
	into.Header.AddAll(r.Header)
	if r.Body != "" {
		if !into.Header.Has("content-type") {
			into.Header.Add("content-type", "text/plain")
		}
		into.Body = NewBytes([]byte(r.Body))
	} else if req.Method == "HEAD" {
		into.Length = Unknown // how long a body would have been is not told
	}
	return into
}

func grpcReply(r *Refusal, into *Response) *Response {
	into.Status, into.Length = 200, 0
	into.Header.Add("content-type", "application/grpc")
	if !slices.ContainsFunc(r.Header, func(f Field) bool { return EqualName(f.Name, "grpc-status") }) {
		into.Header.Add("grpc-status", strconv.Itoa(r.GRPCStatus()))
	}
	if r.Body != "" {
		into.Header.Add("grpc-message", EscapeMessage(r.Body))
	}
	for _, f := range r.Header {
		if !EqualName(f.Name, "content-type") {
			into.Header.Add(f.Name, f.Value)
		}
	}
	return into
}

// GRPCStatus is the gRPC status that says the same: the refusal's own, or the
// one that gRPC assigns to its HTTP status ("HTTP to gRPC Status Code Mapping"), which is
// that of an error even where that is 200.
func (r *Refusal) GRPCStatus() int {
	if r.GRPC != 0 {
		return r.GRPC
	}
	switch r.Status {
	case 400:
		return 13 // internal
	case 401:
		return 16 // unauthenticated
	case 403:
		return 7 // permission denied
	case 404:
		return 12 // unimplemented
	case 429, 502, 503, 504:
		return 14 // unavailable
	}
	return 2 // unknown
}

// IsGRPC reports whether a message's content type says gRPC.
func IsGRPC(h *Header) bool {
	const grpc = "application/grpc"
	t := h.Get("content-type")
	return len(t) >= len(grpc) && EqualName(t[:len(grpc)], grpc) && (len(t) == len(grpc) || t[len(grpc)] == '+' || t[len(grpc)] == ';')
}

// GRPCTimeout is how long a caller waits by its grpc-timeout, rounded up to
// milliseconds: at most eight digits and a unit ("gRPC over HTTP2", Requests).
func GRPCTimeout(h *Header) (timeout time.Duration, told bool) {
	text := h.Get("grpc-timeout")
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil {
		return 0, false
	}
	unit, known := units[text[len(text)-1]]
	if !known {
		return 0, false
	}
	timeout = min(time.Duration(n), longest/unit) * unit
	return (timeout + time.Millisecond - 1).Truncate(time.Millisecond), true
}

// units are those of a grpc-timeout.
var units = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

// longest is more than anybody waits; eight digits of hours would not fit.
const longest = 100 * 365 * 24 * time.Hour

// GRPCOutcome is a field of a gRPC call's outcome, "grpc-status" or "grpc-message":
// in the trailers or, when there was no content, in the head. It is empty where
// there is none.
func GRPCOutcome(resp *Response, field string) string {
	if resp == nil {
		return ""
	}
	if value := resp.Header.Get(field); value != "" || resp.Body == nil {
		return value
	}
	if t := resp.Body.Trailers(); t != nil {
		return t.Get(field)
	}
	return ""
}

// StatusOf is a reply's status: before it is sent, the one that it is going to have;
// 0 when there is none.
func StatusOf(req *Request, resp *Response) int {
	if req.Info.Status == 0 && resp != nil {
		return resp.Status
	}
	return req.Info.Status
}

// GRPCStatusOf is the gRPC status of a reply, as Envoy sees it: of one that has none
// it is the one that its HTTP status stands for, which for 200 is unknown.
func GRPCStatusOf(req *Request, resp *Response) (status int, found bool) {
	if text := GRPCOutcome(resp, "grpc-status"); text != "" {
		n, err := strconv.Atoi(text)
		return n, err == nil
	}
	switch s := StatusOf(req, resp); s {
	case 0:
		return 0, false
	case 200:
		return 2, true
	default:
		return (&Refusal{Status: s}).GRPCStatus(), true
	}
}

// EscapeMessage percent-encodes a grpc-message ("gRPC over HTTP2", Responses).
func EscapeMessage(s string) string {
	const hex = "0123456789ABCDEF"
	var out []byte
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
