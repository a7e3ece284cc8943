package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/mutation"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// mutationFilter compiles the filter: its own mutations come first, then those of
// each level that has some, the most specific first unless that is to win.
func mutationFilter(c *Compiler, m *headermutationv3.HeaderMutation) (builder, error) {
	base, err := c.mutationLevel(m.GetMutations())
	if err != nil {
		return nil, err
	}
	return func(_ proto.Message, on *spot) (stream.Filter, error) {
		f := mutation.Filter{*base}
		for _, each := range on.levels {
			per, ok := each.(*headermutationv3.HeaderMutationPerRoute)
			if !ok {
				return nil, fieldcheck.Refuse("", "is not a HeaderMutationPerRoute")
			}
			own, err := c.mutationLevel(per.GetMutations())
			if err != nil {
				return nil, err
			}
			f = append(f, *own)
		}
		if m.GetMostSpecificHeaderMutationsWins() {
			slices.Reverse(f[1:])
		}
		return f, nil
	}, nil
}

func (c *Compiler) mutationLevel(m *headermutationv3.Mutations) (*mutation.Level, error) {
	if err := formatters(m.GetFormatters()); err != nil {
		return nil, fieldcheck.At("mutations.formatters", err)
	}
	l := &mutation.Level{}
	for _, side := range []struct {
		field string
		from  []*mutationv3.HeaderMutation
		to    *[]mutation.Step
	}{
		{"request_mutations", m.GetRequestMutations(), &l.Request}, {"response_mutations", m.GetResponseMutations(), &l.Response},
		{"request_trailers_mutations", m.GetRequestTrailersMutations(), &l.RequestTrailers}, {"response_trailers_mutations", m.GetResponseTrailersMutations(), &l.ResponseTrailers},
	} {
		for i, each := range side.from {
			step, err := c.step(each)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("mutations.%s[%d]", side.field, i), err)
			}
			*side.to = append(*side.to, step)
		}
	}
	for i, each := range m.GetQueryParameterMutations() {
		p, err := c.param(each)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("mutations.query_parameter_mutations[%d]", i), err)
		}
		l.Query = append(l.Query, p)
	}
	return l, nil
}

var paramActions = map[corev3.KeyValueAppend_KeyValueAppendAction]route.AppendAction{
	corev3.KeyValueAppend_APPEND_IF_EXISTS_OR_ADD:    route.AppendOrAdd,
	corev3.KeyValueAppend_ADD_IF_ABSENT:              route.AddIfAbsent,
	corev3.KeyValueAppend_OVERWRITE_IF_EXISTS_OR_ADD: route.OverwriteOrAdd,
	corev3.KeyValueAppend_OVERWRITE_IF_EXISTS:        route.OverwriteIfExists,
}

func (c *Compiler) param(m *corev3.KeyValueMutation) (route.Param, error) {
	record := m.GetAppend().GetRecord()
	out := route.Param{Name: cmp.Or(record.GetKey(), m.GetRemove()), Action: paramActions[m.GetAppend().GetAction()], Remove: m.GetRemove() != ""}
	if (m.GetAppend() == nil) == (m.GetRemove() == "") {
		return out, fieldcheck.Refuse("", "must have either append or remove")
	}
	if out.Name == "" {
		return out, fieldcheck.Refuse("append.record.key", "is missing")
	}
	if out.Remove {
		return out, nil
	}
	text, ok := record.GetValue().GetKind().(*structpb.Value_StringValue)
	if !ok {
		return out, fieldcheck.Refuse("append.record.value", "is not a string")
	}
	var err error
	out.Value, err = c.value(text.StringValue)
	return out, fieldcheck.At("append.record.value", err)
}

func (c *Compiler) step(m *mutationv3.HeaderMutation) (mutation.Step, error) {
	switch a := m.GetAction().(type) {
	case *mutationv3.HeaderMutation_Remove:
		return mutation.Step{Remove: func(name string) bool { return stream.EqualName(name, a.Remove) }}, nil
	case *mutationv3.HeaderMutation_RemoveOnMatch_:
		s, err := stringMatch(a.RemoveOnMatch.GetKeyMatcher())
		return mutation.Step{Remove: func(name string) bool { return s.Holds(strings.ToLower(name)) }}, fieldcheck.At("remove_on_match.key_matcher", err)
	case *mutationv3.HeaderMutation_Append:
		ops, err := c.operations([]*corev3.HeaderValueOption{a.Append})
		if err != nil {
			return mutation.Step{}, fieldcheck.At("append", err)
		}
		return mutation.Step{Set: &ops[0]}, nil
	default:
		return mutation.Step{}, fieldcheck.Refuse("", "names no action")
	}
}
