package stream

import "io"

// Peek reads up to limit bytes of the request's body ahead and leaves the body
// as it was for whoever comes next. whole reports whether that is all of it.
func Peek(req *Request, limit int) (head []byte, whole bool, err error) {
	return peek(req, limit, Body.Wait)
}

// PeekArrived is Peek without waiting for what has not arrived yet.
func PeekArrived(req *Request, limit int) (head []byte, whole bool) {
	head, whole, _ = peek(req, limit, nil)
	return head, whole
}

func peek(req *Request, limit int, wait func(Body) error) (head []byte, whole bool, err error) {
	body := req.Body
	if body == nil {
		return nil, true, nil
	}
	for !body.Complete() && len(head) < limit {
		if wait == nil {
			if len(body.Buffered()) == 0 {
				break
			}
		} else if err := wait(body); err != nil {
			if IsSyntax(err) {
				return nil, false, &Refusal{Status: 400, Flags: DownstreamProtocol, Details: "http1.codec_error", Body: "malformed request body", Cause: err, Close: true}
			}
			return nil, false, SourceError{err}
		}
		p := body.Buffered()
		p = p[:min(len(p), limit-len(head))]
		head = append(head, p...)
		body.Discard(len(p))
	}
	whole = body.Complete()
	if whole && body.Trailers() == nil {
		req.Length = int64(len(head))
		req.Body = NewBytes(head)
		return head, true, nil
	}
	req.Body = &rejoined{Bytes: Bytes{head}, rest: body}
	return head, whole, nil
}

// rejoined is a body of which the beginning has been read ahead.
type rejoined struct {
	Bytes
	rest Body
}

// Read implements [Body].
func (r *rejoined) Read(p []byte) (int, error) {
	if n, err := r.Bytes.Read(p); err != io.EOF {
		return n, err
	}
	return r.rest.Read(p)
}

// Wait implements [Body].
func (r *rejoined) Wait() error {
	if len(r.left) > 0 {
		return nil
	}
	return r.rest.Wait()
}

// Buffered implements [Body].
func (r *rejoined) Buffered() []byte {
	if len(r.left) > 0 {
		return r.left
	}
	return r.rest.Buffered()
}

// Discard implements [Body].
func (r *rejoined) Discard(n int) {
	if len(r.left) > 0 {
		r.Bytes.Discard(n)
		return
	}
	r.rest.Discard(n)
}

// Complete implements [Body].
func (r *rejoined) Complete() bool { return len(r.left) == 0 && r.rest.Complete() }

// Last implements [Framed].
func (r *rejoined) Last() (last, known bool) {
	last, known = Wrapped{r.rest}.Last()
	if known && len(r.left) > 0 {
		last = r.rest.Complete() && r.rest.Trailers() == nil
	}
	return last, known
}

// Announced implements [Framed].
func (r *rejoined) Announced() (length int64, known bool) {
	return Wrapped{r.rest}.Announced()
}

// Trailers implements [Body].
func (r *rejoined) Trailers() *Header { return r.rest.Trailers() }

var _ Framed = (*rejoined)(nil)
