// Package expr evaluates expressions in the Common Expression Language about a
// request that is over: what metrics' labels and access logs' filters are written
// in. The names are Envoy's attributes, and Istio's for the two peers.
package expr

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Program is an expression.
type Program struct{ program cel.Program }

// environment knows the attributes. It is made when the first expression is
// compiled: a proxy without one does not pay for it.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	options := []cel.EnvOption{ext.Strings()}
	for name, a := range attributes {
		options = append(options, cel.Variable(name, a.kind))
	}
	return cel.NewEnv(options...)
})

// costLimit bounds what an expression may cost for one request.
const costLimit = 100_000

// Compile compiles an expression. What it names has to exist.
func Compile(text string) (*Program, error) {
	return compile(text, func(*cel.Type) error { return nil })
}

// Condition compiles an expression that is true or false.
func Condition(text string) (*Program, error) {
	return compile(text, func(t *cel.Type) error {
		if t.IsExactType(cel.BoolType) || t.IsExactType(cel.DynType) {
			return nil
		}
		return fmt.Errorf("%q is no condition: its type is %s", text, t)
	})
}

func compile(text string, accept func(*cel.Type) error) (*Program, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("make the environment of expressions: %w", err)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("%q: %s (at character %d)", text, first.Message, first.Location.Column()+1)
	}
	if err := accept(ast.OutputType()); err != nil {
		return nil, err
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit))
	if err != nil {
		return nil, err
	}
	return &Program{program}, nil
}

// Holds reports whether a condition is true. One that cannot be told, because it
// asks for what is not there, is not.
func (p *Program) Holds(req *stream.Request, resp *stream.Response) bool {
	v, _, err := p.program.Eval(&facts{req, resp})
	return err == nil && v == types.True
}

// Text is the expression's value as text; found is false when it has none, because
// it asks for what is not there.
func (p *Program) Text(req *stream.Request, resp *stream.Response) (text string, found bool) {
	v, _, err := p.program.Eval(&facts{req, resp})
	if err != nil {
		return "", false
	}
	switch v := v.(type) {
	case types.String:
		return string(v), true
	case types.Bytes:
		return string(v), true
	case types.Int:
		return strconv.FormatInt(int64(v), 10), true
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), true
	case types.Double:
		return strconv.FormatFloat(float64(v), 'g', -1, 64), true
	case types.Bool:
		return strconv.FormatBool(bool(v)), true
	}
	if s, ok := v.ConvertToType(types.StringType).(types.String); ok { // times and durations
		return string(s), true
	}
	return "", false
}

// facts are the attributes of one request.
type facts struct {
	req  *stream.Request
	resp *stream.Response // nil for a byte stream
}

// ResolveName implements [cel.Activation].
func (f *facts) ResolveName(name string) (any, bool) {
	a, known := attributes[name]
	if !known {
		return nil, false
	}
	v := a.value(f)
	return v, v != nil
}

// Parent implements [cel.Activation].
func (*facts) Parent() cel.Activation { return nil }
