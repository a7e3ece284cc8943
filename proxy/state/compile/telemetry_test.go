package compile

import (
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func filterOf(t *testing.T, text string) (logCondition, error) {
	t.Helper()
	var m accesslogv3.AccessLogFilter
	if err := protojson.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return (&Compiler{Runtime: runtime.New([]runtime.Layer{{Values: map[string]string{"all": "100", "none": "0", "status": "503"}}})}).logFilter(&m)
}

func TestLogFilters(t *testing.T) {
	start := time.Now()
	req := &stream.Request{Method: "GET", Conn: &stream.Conn{}, Info: &stream.Info{Start: start, End: start.Add(300 * time.Millisecond), Status: 503, Flags: stream.NoHealthyUpstream}}
	req.Header.Add("x-a", "1")
	req.Info.Metadata.Set("ns", "key", "value")
	resp := &stream.Response{Status: 503}
	cel := func(text string) string {
		return `{"extension_filter": {"name": "cel", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", "expression": "` + text + `"}}}`
	}
	compared := func(kind, op string, value string) string {
		return `{"` + kind + `": {"comparison": {"op": "` + op + `", "value": {"default_value": ` + value + `}}}}`
	}
	metadata := func(path, value, more string) string {
		return `{"metadata_filter": {"matcher": {"filter": "ns", "path": [{"key": "` + path + `"}], "value": {"string_match": {"exact": "` + value + `"}}}` + more + `}}`
	}
	for text, want := range map[string]bool{
		`{}`: true,
		compared("status_code_filter", "GE", "500"):                                                                      true,
		compared("status_code_filter", "EQ", "200"):                                                                      false,
		compared("duration_filter", "LE", "100"):                                                                         false,
		compared("duration_filter", "GE", "300"):                                                                         true,
		`{"response_flag_filter": {"flags": ["UH", "NR"]}}`:                                                              true,
		`{"response_flag_filter": {"flags": ["NR"]}}`:                                                                    false,
		`{"response_flag_filter": {}}`:                                                                                   true,
		`{"header_filter": {"header": {"name": "x-a", "present_match": true}}}`:                                          true,
		`{"header_filter": {"header": {"name": "x-b", "present_match": true}}}`:                                          false,
		`{"traceable_filter": {}}`:                                                                                       false,
		`{"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": 100}}}`:                                true,
		`{"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": 0}}}`:                                  false,
		`{"runtime_filter": {"runtime_key": "all", "percent_sampled": {"numerator": 0}}}`:                                true,
		`{"runtime_filter": {"runtime_key": "none", "percent_sampled": {"numerator": 100}}}`:                             false,
		`{"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 200, "runtime_key": "status"}}}}`: true,
		`{"grpc_status_filter": {"statuses": ["UNAVAILABLE"]}}`:                                                          true,
		`{"grpc_status_filter": {"statuses": ["UNAVAILABLE"], "exclude": true}}`:                                         false,
		`{"grpc_status_filter": {"statuses": ["OK"]}}`:                                                                   false,
		metadata("key", "value", ""):                                                                                     true,
		metadata("key", "other", ""):                                                                                     false,
		metadata("none", "value", ""):                                                                                    true,
		metadata("none", "value", `, "match_if_key_not_found": false`):                                                   false,
		cel("response.code >= 500 && request.headers['x-a'] == '1'"):                                                     true,
		cel("response.code < 500"):                                                                                       false,
		cel("request.headers['none'] == '1'"):                                                                            false,
		`{"and_filter": {"filters": [` + cel("response.code >= 500") + `, {"traceable_filter": {}}]}}`:                   false,
		`{"or_filter": {"filters": [` + cel("response.code >= 500") + `, {"traceable_filter": {}}]}}`:                    true,
	} {
		filter, err := filterOf(t, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := filter == nil || filter(req, resp); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for text, want := range map[string]string{
		cel("response.cod > 1"):   `extension_filter.typed_config.expression: "response.cod > 1": undeclared reference`,
		cel("response.code"):      "is no condition",
		`{"log_type_filter": {}}`: "is of a kind that is not supported",
	} {
		if _, err := filterOf(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}
