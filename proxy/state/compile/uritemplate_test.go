package compile

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/cluster"
)

// Templates that Envoy refuses are refused, and so is a path made of what its
// route's template does not have.
func TestTemplatesThatAreRefused(t *testing.T) {
	const (
		match   = `"match": {"path_match_policy": {"name": "t", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": "TEMPLATE"}}}`
		rewrite = `"path_rewrite_policy": {"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig", "path_template_rewrite": "REWRITE"}}`
	)
	for _, tc := range []struct{ match, template, rewrite, want string }{
		{match, "/a/{b}", "/c/{b}", ""},
		{match, "/a/{b=x/*}/**", "/{b}/$1", ""},
		{match, "a", "/c", "begin with a slash"},
		{match, "/a/{b=*.txt}", "/c", "not a segment"},
		{match, "/a/{1}", "/c", "not a segment"},
		{match, "/a/b?", "/c", "not a segment"},
		{match, "/a//b", "/c", "not a segment"},
		{match, "//", "/c", "empty segment"},
		{match, "/a//", "/c", "not a segment"},
		{match, "/a/{b}", "/{c}", `"c" is not a variable`},
		{match, "/a/{b}", "/{}", `"" is not a variable`},
		{match, "/a/{b}", "{b}", "begin with a slash"},
		{match, "/a/{b}", "/*", "not a path"},
		{match, "/a/{b}", "/{b", "not a path"},
		{`"match": {"prefix": "/"}`, "", "/c", "path_match_policy"},
	} {
		text := `{` + strings.Replace(tc.match, "TEMPLATE", tc.template, 1) + `, "route": {"cluster": "c", ` + strings.Replace(rewrite, "REWRITE", tc.rewrite, 1) + `}}`
		m := &routev3.Route{}
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		c := compiler()
		c.Handle = cluster.NewHandle
		_, err := c.route(m, around{host: &routev3.VirtualHost{}}, &Filters{}, nil)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s to %s: got %v; want %q", tc.template, tc.rewrite, err, tc.want)
		}
	}
}

// A slash at a template's end is part of it.
func TestTemplates(t *testing.T) {
	for template, paths := range map[string]map[string]bool{
		"/": {"/": true, "/a": false}, "/a": {"/a": true, "/a/": false}, "/a/": {"/a/": true, "/a": false, "/a//": false}, "/b/{x}/": {"/b/1/": true, "/b/1": false},
		"/a/{b=x/*}": {"/a/x/1": true, "/a/x": false}, "/a/**": {"/a/": true, "/a/b/c": true},
	} {
		expression, err := templateExpression(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		for path, want := range paths {
			if got := expression.MatchString(path); got != want {
				t.Errorf("%s takes %s: %t, want %t", template, path, got, want)
			}
		}
	}
}

// An expression is whole by itself: what stands round it does not complete it.
func TestExpressionsStandAlone(t *testing.T) {
	for expression, allowed := range map[string]bool{"/admin)|(?:x": false, "(a": false, "a|b": true, "(?i)a": true} {
		if _, err := whole(expression, true); (err == nil) != allowed {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
