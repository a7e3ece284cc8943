package interop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// collected are loggers that send what they log.
const collected = `
- name: grpc
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig
    common_config: {log_name: web, grpc_service: {envoy_grpc: {cluster_name: services}}, transport_api_version: V3, buffer_size_bytes: 0, custom_tags: [{tag: own, literal: {value: x}}]}
    additional_request_headers_to_log: [X-Own, x-none]
    additional_response_headers_to_log: [X-Backend]
- name: otlp
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig
    common_config: {log_name: web, grpc_service: {envoy_grpc: {cluster_name: services}}, transport_api_version: V3, buffer_size_bytes: 0}
    resource_attributes: {values: [{key: own, value: {string_value: resource}}]}
    body: {string_value: "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%"}
    attributes: {values: [{key: route, value: {string_value: "%ROUTE_NAME%"}}, {key: list, value: {array_value: {values: [{string_value: "%PROTOCOL%"}, {string_value: text}]}}}, {key: none, value: {string_value: "%REQ(x-none)%"}}]}
`

// What log services are told is what Envoy tells them.
func TestLogsAsEnvoySendsThem(t *testing.T) {
	requests := []struct {
		story string
		ask   ask
	}{
		{"prefix", get("/api/x?y=1", "x-own: 1", "user-agent: curl", "referer: here")},
		{"prefix", get("/other")},
		{"direct", get("/teapot")},
		{"direct", get("/none")},
		{"query", get("/?v=2")},
	}
	tell := func(name string, run runner) (entries, records []string) {
		up := upstreams{v1: newBackend(t, "v1"), v2: newBackend(t, "v2"), services: newServices(t), proxied: newProxied(t), loggers: collected}
		p := start(t, name, run, up.bootstrap)
		for _, r := range requests {
			p.ask(t, r.story, r.ask)
			select {
			case m := <-up.services.logs.http:
				for _, e := range m.GetHttpLogs().GetLogEntry() {
					entries = append(entries, plainly(t, e, p))
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s sent no entry for %s", p.name, r.ask.path)
			}
			select {
			case m := <-up.services.logs.otlp:
				records = append(records, plainly(t, m, p))
			case <-time.After(10 * time.Second):
				t.Fatalf("%s sent no record for %s", p.name, r.ask.path)
			}
		}
		return entries, records
	}
	theirEntries, theirRecords := tell("envoy1", runEnvoy) // as long a name as ours: bytes are counted
	ourEntries, ourRecords := tell("lateen", runOurs)
	if diff := cmp.Diff(ourEntries, theirEntries); diff != "" {
		t.Errorf("entries (-ours +Envoy):\n%s", diff)
	}
	if diff := cmp.Diff(ourRecords, theirRecords); diff != "" {
		t.Errorf("records (-ours +Envoy):\n%s", diff)
	}
}

// byNature are fields whose values differ from run to run.
var byNature = []string{
	"startTime", "timeToLastRxByte", "timeToFirstUpstreamTxByte", "timeToLastUpstreamTxByte", "timeToFirstUpstreamRxByte", "timeToLastUpstreamRxByte",
	"timeToFirstDownstreamTxByte", "timeToLastDownstreamTxByte", "duration", "portValue", "requestId", "streamId", "timeUnixNano",
}

// plainly is a message as text, field by field, without what differs by nature.
func plainly(t *testing.T, m proto.Message, p *peer) string {
	t.Helper()
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	forget(all)
	text, err = json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), p.name, "PROXY")
}

func forget(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range byNature {
			if _, there := v[name]; there {
				v[name] = "…"
			}
		}
		for _, each := range v {
			forget(each)
		}
	case []any:
		for _, each := range v {
			forget(each)
		}
	}
}
