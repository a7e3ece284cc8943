package stream

// Meter is the bytes of one request on one side of the proxy, as Envoy counts them.
type Meter struct {
	// Sent and Received are all of them, with their framing.
	Sent, Received int64
	// HeadSent and HeadReceived are of header fields as they were on the wire, without
	// the first line of HTTP/1.1.
	HeadSent, HeadReceived int64
	// PlainSent and PlainReceived are of header fields before compression. HTTP/1.1 has
	// none.
	PlainSent, PlainReceived int64
}

// HeadReceived1 counts the header fields of an HTTP/1.1 head that has come: Envoy takes
// the space behind the colon for no part of them, and counts those of the heads before,
// which retries have brought, again.
func (m *Meter) HeadReceived1(n int64) {
	m.HeadReceived += n
	m.PlainReceived += m.HeadReceived
}

// HeadSent1 counts the header fields of an HTTP/1.1 head that is sent.
func (m *Meter) HeadSent1(n int64) {
	m.HeadSent += n
	m.PlainSent += n
}

// Add counts what another has counted.
func (m *Meter) Add(o *Meter) {
	m.Sent += o.Sent
	m.Received += o.Received
	m.HeadSent += o.HeadSent
	m.HeadReceived += o.HeadReceived
	m.PlainSent += o.PlainSent
	m.PlainReceived += o.PlainReceived
}

// Size is how long the names and values are together.
func (h *Header) Size() (n int64) {
	for i := range h.fields {
		n += int64(len(h.fields[i].Name) + len(h.fields[i].Value))
	}
	return n
}

// HeadSize is how long the names and values of a request's head are together, with
// those that HTTP/2 has in place of a first line.
func (r *Request) HeadSize() int64 {
	n := r.Header.Size()
	for _, f := range [...]Field{{":method", r.Method}, {":scheme", r.Scheme}, {":authority", r.Authority}, {":path", r.Path}} {
		if f.Value != "" {
			n += int64(len(f.Name) + len(f.Value))
		}
	}
	if length := Announced(r.Body, r.Length); r.Body != nil && length != Unknown {
		n += int64(len("content-length")) + digits(length)
	}
	return n
}

// digits is how many digits a number is written with.
func digits(n int64) int64 {
	count := int64(1)
	for ; n >= 10; n /= 10 {
		count++
	}
	return count
}
