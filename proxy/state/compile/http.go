package compile

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/entry"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// http compiles a connection manager.
func (c *Compiler) http(m *hcmv3.HttpConnectionManager, direction listener.Direction, out *Listener) (listener.Handler, error) {
	filters, err := c.filters(m.GetHttpFilters(), direction == listener.Inbound)
	if err != nil {
		return nil, fieldcheck.At("http_filters", err)
	}
	filters.options.MatchUpstream = m.GetSchemeHeaderTransformation().GetMatchUpstream()
	out.Secrets = append(out.Secrets, filters.secrets...)
	config, err := entryConfig(m)
	if err != nil {
		return nil, err
	}
	if m.GetAddUserAgent().GetValue() {
		config.UserAgent = &entry.UserAgent{Service: c.Service, Node: c.NodeID}
	}
	if config.LocalReply, err = c.localReply(m.GetLocalReplyConfig()); err != nil {
		return nil, fieldcheck.At("local_reply_config", err)
	}
	filters.rewrites = config.LocalReply != nil
	counters := c.Telemetry.Manager(m.GetStatPrefix())
	filters.counter = func(name string) *stream.Counter {
		return c.Telemetry.Counter("http."+m.GetStatPrefix()+"."+name, "http."+name, telemetry.ManagerLabel(m.GetStatPrefix()))
	}
	routing, err := filters.routing()
	if err != nil {
		return nil, err
	}
	observer, err := c.observers(m.GetAccessLog(), filters.stats, direction)
	if err != nil {
		return nil, err
	}
	tracer, err := c.tracer(m.GetTracing(), direction, filters.spawn)
	if err != nil {
		return nil, fieldcheck.At("tracing", err)
	}
	config.Began = counters.Began
	all := stream.Observers{counters}
	if observer != nil {
		all = append(all, observer)
	}
	if tracer != nil {
		config.Tracer = tracer
		all = append(all, tracer)
	}
	observer = all
	asks := func(a overload.Action) func() bool {
		if c.Overload == nil || out.Config.Exempt {
			return nil
		}
		return func() bool { return c.Overload.Asks(a) }
	}
	config.Followed = observer
	config.Overloaded = asks(overload.StopRequests)
	manager := &Manager{entry: entry.New(config, routing), compiler: c, filters: filters, main: &slot{at: filters.table}}
	switch r := m.GetRouteSpecifier().(type) {
	case *hcmv3.HttpConnectionManager_Rds:
		if manager.rds, err = c.locate(r.Rds.GetConfigSource(), ads.RouteType, r.Rds.GetRouteConfigName()); err != nil {
			return nil, fieldcheck.At("rds.config_source", err)
		}
	case *hcmv3.HttpConnectionManager_RouteConfig:
		if err := manager.serve(r.RouteConfig); err != nil {
			return nil, fieldcheck.At("route_config", err)
		}
	case *hcmv3.HttpConnectionManager_ScopedRoutes:
		if err := c.scoped(manager, r.ScopedRoutes); err != nil {
			return nil, fieldcheck.At("scoped_routes", err)
		}
	default:
		return nil, fieldcheck.Refuse("", "has no routes: write rds, route_config or scoped_routes")
	}
	out.Managers = append(out.Managers, manager)
	codecs := given{last: asks(overload.StopKeepalive)}
	if !out.Config.Exempt {
		codecs.squeezes = stream.Squeezes{Idle: c.Overload.Timer(overload.Idle), Stream: c.Overload.Timer(overload.Stream), Age: c.Overload.Timer(overload.Age)}
	}
	if filters.rewrites {
		codecs.rewrite = config.LocalReply.Rewrite
	}
	return newCodec(m, manager.entry, observer, counters, codecs)
}

var serverHeaders = map[hcmv3.HttpConnectionManager_ServerHeaderTransformation]entry.ServerHeader{
	hcmv3.HttpConnectionManager_OVERWRITE:        entry.Overwrite,
	hcmv3.HttpConnectionManager_APPEND_IF_ABSENT: entry.AppendIfAbsent,
	hcmv3.HttpConnectionManager_PASS_THROUGH:     entry.PassThrough,
}

var certForwarding = map[hcmv3.HttpConnectionManager_ForwardClientCertDetails]entry.Forwarding{
	hcmv3.HttpConnectionManager_SANITIZE:            entry.Sanitize,
	hcmv3.HttpConnectionManager_FORWARD_ONLY:        entry.ForwardOnly,
	hcmv3.HttpConnectionManager_APPEND_FORWARD:      entry.AppendForward,
	hcmv3.HttpConnectionManager_SANITIZE_SET:        entry.SanitizeSet,
	hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY: entry.AlwaysForward,
}

var escapedSlashes = map[hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction]entry.Slashes{
	hcmv3.HttpConnectionManager_REJECT_REQUEST:        entry.RejectSlashes,
	hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT: entry.RedirectSlashes,
	hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:  entry.UnescapeSlashes,
}

func entryConfig(m *hcmv3.HttpConnectionManager) (entry.Config, error) {
	details := m.GetSetCurrentClientCertDetails()
	out := entry.Config{
		UseRemoteAddress: m.GetUseRemoteAddress().GetValue(),
		TrustedHops:      m.GetXffNumTrustedHops(),
		SkipAppend:       m.GetSkipXffAppend(),
		AppendPort:       m.GetAppendXForwardedPort(),
		ServerName:       m.GetServerName(),
		Server:           serverHeaders[m.GetServerHeaderTransformation()],
		Via:              m.GetVia(),
		NoRequestID:      m.GetGenerateRequestId() != nil && !m.GetGenerateRequestId().GetValue(),
		KeepRequestID:    m.GetPreserveExternalRequestId(),
		EchoRequestID:    m.GetAlwaysSetRequestIdInResponse(),
		ClientCert: entry.ClientCert{
			Forwarding: certForwarding[m.GetForwardClientCertDetails()],
			Subject:    details.GetSubject().GetValue(), Cert: details.GetCert(), Chain: details.GetChain(), URI: details.GetUri(), DNS: details.GetDns(),
		},
		Path: entry.PathRules{
			Normalize: m.GetNormalizePath().GetValue(), MergeSlashes: m.GetMergeSlashes(), Escaped: escapedSlashes[m.GetPathWithEscapedSlashesAction()],
		},
	}
	if m.GetStripMatchingHostPort() {
		out.StripPort = entry.OwnPort
	}
	if m.GetStripAnyHostPort() {
		out.StripPort = entry.WhateverPort
	}
	if out.StripDot = m.GetStripTrailingHostDot(); m.GetSchemeHeaderTransformation().GetSchemeToOverwrite() != "" {
		out.Scheme = m.GetSchemeHeaderTransformation().GetSchemeToOverwrite()
		if out.Scheme != "http" && out.Scheme != "https" {
			return out, fieldcheck.Refuse("scheme_header_transformation.scheme_to_overwrite", "%q is not http or https", out.Scheme)
		}
	}
	var err error
	if out.Internal, err = ranges(m.GetInternalAddressConfig().GetCidrRanges()); err != nil {
		return out, fieldcheck.At("internal_address_config.cidr_ranges", err)
	}
	if m.GetInternalAddressConfig() != nil && out.Internal == nil {
		out.Internal = private
	}
	out.InternalSockets = m.GetInternalAddressConfig().GetUnixSockets()
	switch a := m.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction(); a {
	case corev3.HttpProtocolOptions_REJECT_REQUEST:
		out.RefuseUnderscores = true
	case corev3.HttpProtocolOptions_DROP_HEADER:
		out.DropUnderscores = true
	}
	out.RequestTimeout = m.GetRequestTimeout().AsDuration()
	if out.Detectors, err = detectors(m); err != nil {
		return out, fieldcheck.At("original_ip_detection_extensions", err)
	}
	for i, u := range m.GetUpgradeConfigs() {
		if strings.EqualFold(u.GetUpgradeType(), "connect-udp") {
			return out, fieldcheck.Refuse(fmt.Sprintf("upgrade_configs[%d].upgrade_type", i), "%q is not supported: there is no HTTP/3", u.GetUpgradeType())
		}
	}
	out.Upgrades = upgrades(m)
	return out, nil
}

// private are the addresses that a connection manager with an internal_address_config
// takes for internal where that names none: those of RFC 1918 and RFC 4193, and this
// machine's own.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("127.0.0.1/32"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("::1/128"),
}
