package translate

import (
	"strings"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filelog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/lateenmesh/lateen/control/mesh"
)

// DefaultLogFormat is the text of an access-log line unless the mesh's
// accessLogFormat says otherwise.
const DefaultLogFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
	`%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% ` +
	`%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ` +
	`"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ` +
	"%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"

// defaultLogFields are the same values with names, for JSON.
var defaultLogFields = map[string]string{
	"start_time":                        "%START_TIME%",
	"method":                            "%REQ(:METHOD)%",
	"path":                              "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	"protocol":                          "%PROTOCOL%",
	"response_code":                     "%RESPONSE_CODE%",
	"response_flags":                    "%RESPONSE_FLAGS%",
	"response_code_details":             "%RESPONSE_CODE_DETAILS%",
	"connection_termination_details":    "%CONNECTION_TERMINATION_DETAILS%",
	"upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"bytes_received":                    "%BYTES_RECEIVED%",
	"bytes_sent":                        "%BYTES_SENT%",
	"duration":                          "%DURATION%",
	"upstream_service_time":             "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
	"x_forwarded_for":                   "%REQ(X-FORWARDED-FOR)%",
	"user_agent":                        "%REQ(USER-AGENT)%",
	"request_id":                        "%REQ(X-REQUEST-ID)%",
	"authority":                         "%REQ(:AUTHORITY)%",
	"upstream_host":                     "%UPSTREAM_HOST%",
	"upstream_cluster":                  "%UPSTREAM_CLUSTER_RAW%",
	"upstream_local_address":            "%UPSTREAM_LOCAL_ADDRESS%",
	"downstream_local_address":          "%DOWNSTREAM_LOCAL_ADDRESS%",
	"downstream_remote_address":         "%DOWNSTREAM_REMOTE_ADDRESS%",
	"requested_server_name":             "%REQUESTED_SERVER_NAME%",
	"route_name":                        "%ROUTE_NAME%",
}

// accessLog writes one line per request or connection to the mesh's
// accessLogFile; nil when there is none.
func accessLog(m *mesh.Config) []*accesslog.AccessLog {
	if m.GetAccessLogFile() == "" {
		return nil
	}
	return []*accesslog.AccessLog{{
		Name: "envoy.access_loggers.file",
		ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: packed(&filelog.FileAccessLog{
			Path: m.AccessLogFile, AccessLogFormat: &filelog.FileAccessLog_LogFormat{LogFormat: logFormat(m)}})},
	}}
}

// listenerLog writes only the connections that no filter chain takes.
func listenerLog(m *mesh.Config) []*accesslog.AccessLog {
	if m.GetDisableEnvoyListenerLog() {
		return nil
	}
	logs := accessLog(m)
	for _, l := range logs {
		l.Filter = &accesslog.AccessLogFilter{FilterSpecifier: &accesslog.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslog.ResponseFlagFilter{Flags: []string{"NR"}}}}
	}
	return logs
}

// logFormat is the user's format, or the default. A JSON format that does not
// parse is not used.
func logFormat(m *mesh.Config) *core.SubstitutionFormatString {
	if m.AccessLogEncoding == meshconfig.MeshConfig_JSON {
		fields := &structpb.Struct{}
		if m.AccessLogFormat == "" || protojson.Unmarshal([]byte(m.AccessLogFormat), fields) != nil {
			fields = &structpb.Struct{Fields: map[string]*structpb.Value{}}
			for name, value := range defaultLogFields {
				fields.Fields[name] = text(value)
			}
		}
		return &core.SubstitutionFormatString{
			Format:            &core.SubstitutionFormatString_JsonFormat{JsonFormat: fields},
			JsonFormatOptions: &core.JsonFormatOptions{SortProperties: false},
		}
	}
	format := m.AccessLogFormat
	if format == "" {
		format = DefaultLogFormat
	} else if !strings.HasSuffix(format, "\n") {
		format += "\n"
	}
	return &core.SubstitutionFormatString{Format: &core.SubstitutionFormatString_TextFormatSource{
		TextFormatSource: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: format}}}}
}
