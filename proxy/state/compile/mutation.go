package compile

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// mutating is what messages that change header fields have in common.
type mutating interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

func (c *Compiler) mutations(m mutating) (route.Mutations, error) {
	out := route.Mutations{RemoveRequest: m.GetRequestHeadersToRemove(), RemoveResponse: m.GetResponseHeadersToRemove()}
	var err error
	if out.Request, err = c.operations(m.GetRequestHeadersToAdd()); err != nil {
		return out, fieldcheck.At("request_headers_to_add", err)
	}
	out.Response, err = c.operations(m.GetResponseHeadersToAdd())
	return out, fieldcheck.At("response_headers_to_add", err)
}

var appendActions = map[corev3.HeaderValueOption_HeaderAppendAction]route.AppendAction{
	corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:    route.AppendOrAdd,
	corev3.HeaderValueOption_ADD_IF_ABSENT:              route.AddIfAbsent,
	corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD: route.OverwriteOrAdd,
	corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:        route.OverwriteIfExists,
}

func (c *Compiler) operations(list []*corev3.HeaderValueOption) ([]route.HeaderOp, error) {
	var out []route.HeaderOp
	for i, o := range list {
		op := operation(o)
		if name := (stream.Field{Name: op.Name}); !name.Fit() {
			return nil, fieldcheck.Refuse(fmt.Sprintf("[%d].header.key", i), "%q is not a field that can be changed", op.Name)
		}
		value, err := c.value(o.GetHeader().GetValue())
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("[%d].header.value", i), err)
		}
		op.Value = value
		out = append(out, op)
	}
	return out, nil
}

// operation is an operation without its value.
func operation(o *corev3.HeaderValueOption) route.HeaderOp {
	op := route.HeaderOp{Name: strings.ToLower(o.GetHeader().GetKey()), Append: appendActions[o.GetAppendAction()], KeepEmpty: o.GetKeepEmptyValue()}
	//nolint:staticcheck // istiod still writes the deprecated form
	if o.GetAppend() != nil && !o.GetAppend().GetValue() {
		op.Append = route.OverwriteOrAdd
	}
	return op
}

// ownFields are the fields of calls that the proxy makes on its own account, beside
// those that the calls have anyway: there is no request to fill place holders from.
func ownFields(list []*corev3.HeaderValueOption, anyway ...stream.Field) ([]stream.Field, error) {
	var h stream.Header
	for _, f := range anyway {
		h.Add(f.Name, f.Value)
	}
	for i, o := range list {
		op := operation(o)
		if op.Value.Literal = o.GetHeader().GetValue(); strings.Contains(op.Value.Literal, "%") {
			return nil, fieldcheck.Refuse(fmt.Sprintf("[%d].header.value", i), "%q has a place holder: there is no request to fill it from", op.Value.Literal)
		}
		op.Apply(&h, nil, nil)
	}
	var out []stream.Field
	for i := range h.Len() {
		out = append(out, h.At(i))
	}
	return out, nil
}

// value compiles a field's value: text, with the access log's operators.
func (c *Compiler) value(text string) (route.Value, error) {
	if !strings.Contains(text, "%") {
		return route.Value{Literal: text}, nil
	}
	if plain := strings.ReplaceAll(text, "%%", ""); !strings.Contains(plain, "%") {
		return route.Value{Literal: strings.ReplaceAll(text, "%%", "%")}, nil
	}
	format, err := c.Telemetry.Format(text)
	if err != nil {
		return route.Value{}, err
	}
	return route.Value{Format: format}, nil
}
