package stream

import "strconv"

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
	for _, f := range r.Header {
		into.Header.Add(f.Name, f.Value)
	}
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
	into.Header.Add("grpc-status", strconv.Itoa(r.GRPCStatus()))
	if r.Body != "" {
		into.Header.Add("grpc-message", escapeMessage(r.Body))
	}
	for _, f := range r.Header {
		if !EqualName(f.Name, "content-type") {
			into.Header.Add(f.Name, f.Value)
		}
	}
	return into
}

// GRPCStatus is the gRPC status that says the same: the refusal's own, or the
// one that gRPC assigns to its HTTP status ("HTTP to gRPC Status Code Mapping").
func (r *Refusal) GRPCStatus() int {
	if r.GRPC != 0 {
		return r.GRPC
	}
	switch r.Status {
	case 200:
		return 0
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

// escapeMessage percent-encodes a grpc-message ("gRPC over HTTP2", Responses).
func escapeMessage(s string) string {
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
