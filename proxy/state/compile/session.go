package compile

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	envelopev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/envelope/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/session"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func sessionFilter(_ *Compiler, m *sessionv3.StatefulSession) (builder, error) {
	base, err := sessionOf(m)
	if err != nil {
		return nil, err
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		f := base
		if override != nil {
			per, err := as[*sessionv3.StatefulSessionPerRoute](override)
			if err != nil {
				return nil, err
			}
			if per.GetDisabled() {
				return nil, nil
			}
			if f, err = sessionOf(per.GetStatefulSession()); err != nil {
				return nil, fieldcheck.At("stateful_session", err)
			}
		}
		if f == nil || on.forward == nil {
			return nil, nil
		}
		return f, nil
	}, nil
}

// sessionOf is nil where nothing says how sessions are kept.
func sessionOf(m *sessionv3.StatefulSession) (*session.Filter, error) {
	if m.GetSessionState() == nil {
		return nil, nil
	}
	state, err := sessionState(m.GetSessionState())
	return &session.Filter{State: state, Strict: m.GetStrict(), Status: int(m.GetStatusOnStrictDestinationNotFound())}, fieldcheck.At("session_state.typed_config", err)
}

func sessionState(m *corev3.TypedExtensionConfig) (session.State, error) {
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return nil, err
	}
	switch s := opened.(type) {
	case *headerv3.HeaderBasedSessionState:
		return session.Header{Name: s.GetName()}, nil
	case *envelopev3.EnvelopeSessionState:
		return session.Envelope{Name: s.GetHeader().GetName()}, nil
	case *cookiev3.CookieBasedSessionState:
		c := s.GetCookie()
		out := &session.Cookie{Name: c.GetName(), Path: c.GetPath(), TTL: c.GetTtl().AsDuration()}
		for _, a := range c.GetAttributes() {
			text := a.GetName()
			if a.GetValue() != "" {
				text += "=" + a.GetValue()
			}
			out.Attributes = append(out.Attributes, text)
		}
		return out, nil
	default:
		return nil, fieldcheck.Refuse("", "%s is not supported, write CookieBasedSessionState, HeaderBasedSessionState or EnvelopeSessionState", opened.ProtoReflect().Descriptor().FullName())
	}
}
