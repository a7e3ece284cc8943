package stream

import "errors"

// Refusal is an error that becomes a reply: the only way for a filter to answer
// with a failure, so that one function turns errors into replies, response
// flags and metric labels.
type Refusal struct {
	// Status of the reply; 0 when nobody is there to be answered.
	Status  int
	Flags   Flags
	Details string // response code details
	Body    string
	// Header are further fields of the reply.
	Header []Field
	// GRPC is the gRPC status for a caller that speaks it; 0 follows Status.
	GRPC int
	// Close ends the downstream connection after the reply.
	Close bool
	// Cause, for the log; nil when there is none.
	Cause error
}

// Error says what was refused and why.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return r.Details + ": " + r.Cause.Error()
	}
	return r.Details
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// Redirected is what a handler fails with when the request has become another one:
// it begins anew, from the choice of its route on. Filters pass it on.
type Redirected struct {
	// Response is the one that was followed. It is still held. It is nil where the
	// request is as it was, and a route for it has come meanwhile.
	Response *Response
}

// Error says what happened.
func (*Redirected) Error() string { return "internal_redirect" }

// Refuse makes a refusal.
func Refuse(status int, details, body string) *Refusal {
	return &Refusal{Status: status, Details: details, Body: body}
}

// Abandoned is the refusal of a request that was given up: nobody is there to be
// answered, nothing has moved for too long, or it has taken too long altogether. It is
// the client's fault as long as the request has not come whole.
func Abandoned(why Flags, whole bool) *Refusal {
	late := 504
	if !whole {
		late = 408
	}
	switch why {
	case StreamIdleTimeout:
		return &Refusal{Status: late, Flags: why, Details: "stream_idle_timeout", Body: "stream timeout", Close: true}
	case RequestTimeout:
		return &Refusal{Status: 408, Details: "request_overall_timeout", Body: "request timeout", Close: true}
	case DownstreamReset:
		return &Refusal{Flags: why, Details: "http2.remote_reset", Close: true}
	case DownstreamProtocol:
		return &Refusal{Flags: why, Details: "codec_error", Close: true}
	case DurationTimeout: // Envoy 1.39 notes no flag for it
		return &Refusal{Status: late, Details: "max_duration_timeout", Body: "downstream duration timeout", GRPC: 4, Close: true} // deadline exceeded
	}
	return &Refusal{Flags: DownstreamTermination, Details: "downstream_remote_disconnect", Close: true}
}

// GivenUp is the refusal of a request that has been given up.
func (r *Request) GivenUp() *Refusal { return Abandoned(r.Waiting.Abandoned(), r.Arrival.Whole()) }

// AsRedirected gives err as a redirect that is followed here, nil when it is none.
func AsRedirected(err error) *Redirected {
	if err == nil {
		return nil
	}
	var r *Redirected
	errors.As(err, &r)
	return r
}

// OnHead lets change see what is answered: the response, or one with the status and
// the fields of the refusal that err becomes. It may change the fields. A redirect
// that is followed here is no answer.
func OnHead(resp *Response, err error, change func(*Response)) (*Response, error) {
	if err == nil {
		change(resp)
		return resp, nil
	}
	if AsRedirected(err) != nil {
		return resp, err
	}
	r := *AsRefusal(err)
	local := Response{Status: r.Status}
	local.Header.AddAll(r.Header)
	change(&local)
	r.Header = local.Header.Fields()
	return nil, &r
}

// IsRefusal reports whether an error says how it is answered.
func IsRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

// AsRefusal gives err as a refusal; an error that is none becomes status 500.
func AsRefusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return &Refusal{Status: 500, Details: "internal_error", Body: "internal error", Cause: err}
}
