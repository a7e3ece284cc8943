package stream

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
