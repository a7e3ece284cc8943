package compile

import (
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matchv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	rewritev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/rewrite/uri_template/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
)

// uriTemplate reads a path matcher that is a URI template.
func uriTemplate(m *corev3.TypedExtensionConfig) (*regexp.Regexp, error) {
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("typed_config", err)
	}
	t, ok := opened.(*matchv3.UriTemplateMatchConfig)
	if !ok {
		return nil, fieldcheck.Refuse("typed_config", "is not a UriTemplateMatchConfig")
	}
	expression, err := templateExpression(t.GetPathTemplate())
	return expression, fieldcheck.At("typed_config.path_template", err)
}

// rewriteVariable is a variable in the template of a path to be made.
var rewriteVariable = regexp.MustCompile(`\{([^{}]*)\}`)

// templateRewrite reads how a path is made from the variables of the route's own
// template.
func templateRewrite(f *route.Forward, match *route.Match, m *corev3.TypedExtensionConfig) error {
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return fieldcheck.At("typed_config", err)
	}
	t, ok := opened.(*rewritev3.UriTemplateRewriteConfig)
	if !ok {
		return fieldcheck.Refuse("typed_config", "is not a UriTemplateRewriteConfig")
	}
	const at = "typed_config.path_template_rewrite"
	if !match.Template {
		return fieldcheck.Refuse(at, "needs a match by path_match_policy, whose variables it uses")
	}
	path := t.GetPathTemplateRewrite()
	if !strings.HasPrefix(path, "/") {
		return fieldcheck.Refuse(at, "%q does not begin with a slash", path)
	}
	for _, v := range rewriteVariable.FindAllStringSubmatch(path, -1) {
		if v[1] == "" || !slices.Contains(match.Regex.SubexpNames(), v[1]) {
			return fieldcheck.Refuse(at, "%q is not a variable of the route's template", v[1])
		}
	}
	if strings.ContainsAny(rewriteVariable.ReplaceAllString(path, ""), "{}*") {
		return fieldcheck.Refuse(at, "%q is not a path with variables", path)
	}
	f.RegexRewrite = match.Regex
	f.Substitution = rewriteVariable.ReplaceAllString(strings.ReplaceAll(path, "$", "$$"), "$${$1}")
	return nil
}

// templateSegment is one segment of a URI template: a literal, "*", "**", or a
// variable "{name}" or "{name=segments}".
var templateSegment = func() *regexp.Regexp {
	const plain = `(?:\*\*|\*|[A-Za-z0-9\-._~%!$&'()+,;:@=]+)`
	return regexp.MustCompile(`^(?:` + plain + `|\{[A-Za-z][A-Za-z0-9_]*(?:=` + plain + `(?:/` + plain + `)*)?\})$`)
}()

// templateExpression compiles a URI template (Envoy's uri_template matcher) to
// an expression for the whole path: "*" is one segment, "**" is any number.
func templateExpression(template string) (*regexp.Regexp, error) {
	if !strings.HasPrefix(template, "/") {
		return nil, fieldcheck.Refuse("", "%q does not begin with a slash", template)
	}
	var out strings.Builder
	inner, slash := strings.CutSuffix(template[1:], "/")
	if slash && inner == "" {
		return nil, fieldcheck.Refuse("", "%q has an empty segment", template)
	}
	for rest := inner; rest != ""; {
		segment, next := cutSegment(rest)
		if !templateSegment.MatchString(segment) || next == "" && strings.HasSuffix(rest, "/") {
			return nil, fieldcheck.Refuse("", "%q is not a segment of a URI template", segment)
		}
		out.WriteString("/" + segmentExpression(segment))
		rest = next
	}
	if slash || inner == "" {
		out.WriteString("/")
	}
	return whole(out.String(), false)
}

// cutSegment cuts at the first slash that is not inside braces.
func cutSegment(s string) (segment, rest string) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			if depth == 0 {
				return s[:i], s[i+1:]
			}
		}
	}
	return s, ""
}

func segmentExpression(segment string) string {
	switch {
	case segment == "*":
		return "[^/]+"
	case segment == "**":
		return ".*"
	case strings.HasPrefix(segment, "{"):
		name, pattern, found := strings.Cut(segment[1:len(segment)-1], "=")
		if !found {
			pattern = "*"
		}
		var parts []string
		for _, p := range strings.Split(pattern, "/") {
			parts = append(parts, segmentExpression(p))
		}
		return "(?P<" + name + ">" + strings.Join(parts, "/") + ")"
	}
	return regexp.QuoteMeta(segment)
}
