package route

import "github.com/lateenmesh/lateen/proxy/stream"

// MutateRequest changes the request's header as the route, its virtual host and
// its table say, the most specific first unless the table says otherwise.
func (r *Route) MutateRequest(req *stream.Request) {
	for _, m := range r.all {
		m.ApplyRequest(req)
	}
}

// MutateResponse changes the response's header.
func (r *Route) MutateResponse(req *stream.Request, resp *stream.Response) {
	for _, m := range r.all {
		m.ApplyResponse(req, resp)
	}
}

// ApplyRequest changes a request's header.
func (m *Mutations) ApplyRequest(req *stream.Request) {
	for _, name := range m.RemoveRequest {
		req.Header.Del(name)
	}
	for i := range m.Request {
		m.Request[i].Apply(&req.Header, req, nil)
	}
}

// ApplyResponse changes a response's header.
func (m *Mutations) ApplyResponse(req *stream.Request, resp *stream.Response) {
	for _, name := range m.RemoveResponse {
		resp.Header.Del(name)
	}
	for i := range m.Response {
		m.Response[i].Apply(&resp.Header, req, resp)
	}
}

// Made are the fields that operations make where there are none before.
func Made(ops []HeaderOp, req *stream.Request) []stream.Field {
	var h stream.Header
	for i := range ops {
		ops[i].Apply(&h, req, nil)
	}
	return h.Fields()
}

// Apply changes a header. A formatted value that would not be one line is left out, and
// with it what it was to replace.
func (op *HeaderOp) Apply(h *stream.Header, req *stream.Request, resp *stream.Response) {
	value := op.Value.Literal
	if op.Value.Format != nil {
		if value = op.Value.Format(req, resp); !stream.ValidValue(value) {
			if op.Append == OverwriteOrAdd || op.Append == OverwriteIfExists {
				h.Del(op.Name)
			}
			return
		}
	}
	if value == "" && !op.KeepEmpty {
		return
	}
	switch op.Append {
	case AppendOrAdd:
		h.Add(op.Name, value)
	case AddIfAbsent:
		if !h.Has(op.Name) {
			h.Add(op.Name, value)
		}
	case OverwriteOrAdd:
		h.Set(op.Name, value)
	case OverwriteIfExists:
		if h.Has(op.Name) {
			h.Set(op.Name, value)
		}
	}
}
