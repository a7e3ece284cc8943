package stream

// RequestsOnly is embedded by observers that byte streams are nothing to.
type RequestsOnly struct{}

// Opened implements [Observer].
func (RequestsOnly) Opened(*TCP) {}

// Progress implements [Observer].
func (RequestsOnly) Progress(*TCP, int64, int64) {}

// Closed implements [Observer].
func (RequestsOnly) Closed(*TCP) {}

// Observers tells each of several observers.
type Observers []Observer

// Request implements [Observer].
func (o Observers) Request(req *Request, resp *Response) {
	for _, each := range o {
		each.Request(req, resp)
	}
}

// Opened implements [Observer].
func (o Observers) Opened(tcp *TCP) {
	for _, each := range o {
		each.Opened(tcp)
	}
}

// Progress implements [Observer].
func (o Observers) Progress(tcp *TCP, received, sent int64) {
	for _, each := range o {
		each.Progress(tcp, received, sent)
	}
}

// Closed implements [Observer].
func (o Observers) Closed(tcp *TCP) {
	for _, each := range o {
		each.Closed(tcp)
	}
}

var _ Observer = Observers(nil)
