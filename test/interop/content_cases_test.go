package interop

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
)

// contentFilters are filters that change what messages contain, asleep.
func contentFilters() string {
	filter := func(name, message, fields, library string) string {
		kind, _, _ := strings.Cut(library, ".")
		return fmt.Sprintf("- {name: %s, disabled: true, typed_config: {\"@type\": %s%s%s: {name: lib, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.compression.%s}}}}\n", name, httpFilters, message, fields, kind+library[len(kind):])
	}
	compressor := func(name, coding, fields string) string {
		return filter(name, "compressor.v3.Compressor", fields+", compressor_library", map[string]string{"gzip": "gzip.compressor.v3.Gzip", "br": "brotli.compressor.v3.Brotli", "zstd": "zstd.compressor.v3.Zstd"}[coding])
	}
	bridge := func(name, fields string) string {
		return fmt.Sprintf("- {name: %s, disabled: true, typed_config: {\"@type\": %sgrpc_http1_bridge.v3.Config%s}}\n", name, httpFilters, fields)
	}
	const told = ", response_direction_config: {status_header_enabled: true, common_config: {min_content_length: 100}"
	return compressor("c.gzip", "gzip", told+"}") + compressor("c.br", "br", told+"}, choose_first: true") + compressor("c.zstd", "zstd", told+"}") +
		compressor("c.tag", "gzip", told+", disable_on_etag_header: true, uncompressible_response_codes: [404]}") + compressor("c.weak", "gzip", told+", disable_on_etag_header: true, weaken_etag_on_compress: true}") +
		compressor("c.hide", "gzip", ", response_direction_config: {remove_accept_encoding_header: true}") + compressor("c.off", "gzip", ", response_direction_config: {common_config: {enabled: {default_value: false, runtime_key: r}}}") +
		compressor("c.old", "gzip", ", content_length: 10, content_type: [application/json], disable_on_etag_header: true") +
		compressor("c.request", "gzip", ", request_direction_config: {common_config: {min_content_length: 20, content_type: [text/plain]}}") +
		filter("d.gzip", "decompressor.v3.Decompressor", ", decompressor_library", "gzip.decompressor.v3.Gzip") +
		filter("d.quiet", "decompressor.v3.Decompressor", ", request_direction_config: {advertise_accept_encoding: false, common_config: {enabled: {default_value: false, runtime_key: r}}}, response_direction_config: {common_config: {ignore_no_transform_header: true}}, decompressor_library", "gzip.decompressor.v3.Gzip") +
		filter("d.forced", "decompressor.v3.Decompressor", ", request_direction_config: {common_config: {ignore_no_transform_header: true}}, response_direction_config: {common_config: {enabled: {default_value: false, runtime_key: r}}}, decompressor_library", "gzip.decompressor.v3.Gzip") +
		"- {name: late, disabled: true, typed_config: {\"@type\": " + httpFilters + "buffer.v3.Buffer, max_request_bytes: 1000}}\n" +
		"- {name: web, disabled: true, typed_config: {\"@type\": " + httpFilters + "grpc_web.v3.GrpcWeb}}\n" +
		bridge("bridge", "") + bridge("bridge.up", ", upgrade_protobuf_to_grpc: true, ignore_query_parameters: true")
}

// awakeAll wakes filters on a route, some with settings of their own ("name: {...}").
func awakeAll(names ...string) string {
	var out []string
	for _, name := range names {
		if !strings.Contains(name, ": ") {
			name += `: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}`
		}
		out = append(out, name)
	}
	return "typed_per_filter_config: {" + strings.Join(out, ", ") + "}"
}

// to is a route to v1 with another path.
func to(prefix, path, more string) string {
	return fmt.Sprintf("- match: {prefix: %s}\n  route: {cluster: v1, prefix_rewrite: %s}\n%s\n", prefix, path, indent(more, "  "))
}

func zipped(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	fmt.Fprint(w, text)
	w.Close()
	return out.String()
}

func contentStories() []story {
	accept := func(path string, values ...string) (asks []ask) {
		for _, v := range values {
			asks = append(asks, get(path, "accept-encoding: "+v))
		}
		return asks
	}
	per := func(name, fields string) string {
		return name + `: {"@type": ` + httpFilters + `compressor.v3.CompressorPerRoute, ` + fields + `}`
	}
	echo := func(field string) string { return "/reply?" + field }
	text := "content-type: text/plain"
	coded := "content-encoding: gzip"
	long := strings.Repeat("hello ", 20)
	deviating := func(a ask, why string) ask { a.deviates = why; return a }
	post := func(path, body string, headers ...string) ask {
		return ask{method: "POST", path: path, body: body, headers: headers}
	}
	const silently = "content that is broken, cut off or expands too much is refused: Envoy hands on what it could read, as if it were all"
	const (
		message = "\x0a\x05hello"
		framed  = "\x00\x00\x00\x00\x07" + message
		grpc    = "content-type: application/grpc"
		proto   = "content-type: application/x-protobuf"
	)
	calls := func(prefix string) (asks []ask) {
		for _, method := range []string{"echo", "fail", "refuse", "echo?a=b"} {
			asks = append(asks, post(prefix+"/"+method, framed, grpc), post(prefix+"/"+method, framed, grpc+"+proto"), post(prefix+"/"+method, message, proto))
		}
		return append(asks, post(prefix+"/echo", message[:3], grpc))
	}
	service := func(prefix, cluster, more string) string {
		return fmt.Sprintf("- match: {prefix: %s}\n  route: {cluster: %s}\n%s\n", prefix, cluster, indent(more, "  "))
	}
	const unread = "a call in base64 is decoded before an endpoint is chosen: no try is counted for one that cannot be"
	coded64 := base64.StdEncoding.EncodeToString([]byte(framed))
	webCalls := func() (asks []ask) {
		for _, method := range []string{"echo", "fail", "refuse"} {
			for _, kind := range []string{"application/grpc-web", "application/grpc-web+proto"} {
				asks = append(asks, post("/web/"+method, framed, "content-type: "+kind), post("/web/"+method, framed, "content-type: "+kind, "accept: application/grpc-web-text"), post("/web/"+method, framed, "content-type: "+kind, "accept: application/grpc-web-text+proto"))
			}
			for _, kind := range []string{"application/grpc-web-text", "application/grpc-web-text+proto"} {
				asks = append(asks, post("/web/"+method, coded64, "content-type: "+kind), post("/web/"+method, coded64, "content-type: "+kind, "accept: application/grpc-web"))
			}
		}
		return append(asks, post("/web/echo", framed, grpc), deviating(post("/web/echo", "????", "content-type: application/grpc-web-text"), unread), deviating(post("/web/echo", coded64[:7], "content-type: application/grpc-web-text"), unread), post("/none/x", framed, "content-type: application/grpc-web"),
			post("/absent/x", framed, "content-type: application/grpc-web"), post("/v1/x", framed, "content-type: application/grpc-web"), post("/v1/x", "{}", "content-type: application/json"), get("/v1/x", "accept: application/grpc-web-text"),
			deviating(post("/web/echo", base64.StdEncoding.EncodeToString([]byte(framed[:4]))+base64.StdEncoding.EncodeToString([]byte(framed[4:])), "content-type: application/grpc-web-text"), "a call in base64 may come in pieces that are padded each (gRPC's PROTOCOL-WEB)"), post("/web/echo?a=b", framed, "content-type: application/grpc-web", "te: x", "grpc-accept-encoding: gzip"),
			post("/bare?content-type=application/grpc", framed, "content-type: application/grpc-web"))
	}
	return []story{
		{name: "web", routes: "routes:\n" + service("/web", "services", awake("web")) + service("/none", "none", awake("web")) + service("/absent", "absent", awake("web")) + service("/v1", "v1", awake("web")) + to("/bare", "/reply", awake("web")), asks: webCalls()},
		{name: "bridge", routes: "routes:\n" + service("/plain", "services", awakeAll("bridge")) + service("/up", "services", awakeAll("bridge.up")) + service("/none", "none", awakeAll("bridge.up")) + service("/absent", "absent", awakeAll("bridge.up")) + service("/v1", "v1", awakeAll("bridge.up")),
			asks: append(append(calls("/plain"), calls("/up")...), get("/v1?a=b"), post("/v1?a=b", "{}", "content-type: application/json"), post("/none/x", framed, grpc), post("/none/x", message, proto), post("/absent/x", framed, grpc), post("/absent/x", message, proto),
				deviating(post("/up/echo", "", proto), "a request without content is a message without fields: Envoy calls without a message"))},
		{name: "compress", routes: "routes:\n" + on("/no-gzip", awakeAll(per("c.gzip", "disabled: true"), "c.br", "c.zstd")) + on("/swapped", awakeAll(per("c.gzip", `overrides: {compressor_library: {name: br, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.brotli.compressor.v3.Brotli}}}`))) +
			on("/", awakeAll("c.gzip", "c.br", "c.zstd")),
			asks: append(accept("/", "gzip", "br", "zstd", "br, gzip", "gzip, br", "zstd, gzip", "gzip, zstd", "zstd,gzip;q=1.0,br", "*", "identity", "gzip;q=0", "gzip;q=0,*", "br;q=0.5, *", "x", "", "gzip;q=x", "gzip;q=0.5,br;q=0.4",
				"identity;q=0.5,gzip;q=0.5", "gzip;q=0.5,identity;q=0.5", "gzip;level=1;q=0", "GZIP", "*;q=0", "identity,*", "identity, br", "*;q=0.5, gzip;q=0.5", "gzip;q=-1", "gzip;q=5, br", "br;q=0.5,*;q=0.5", "gzip; Q=0.5, br ; q = 0.4",
				"gzip, gzip;q=0", "gzip;q=0.5;x=1", "br;q=0, zstd;q=0, *;q=0.1"),
				append(append(accept("/no-gzip", "gzip", "gzip, zstd;q=0.5", "zstd"), accept("/swapped", "gzip", "identity")...),
					ask{method: "HEAD", path: "/", headers: []string{"accept-encoding: br"}}, get("/status/204", "accept-encoding: br"), get("/status/304", "accept-encoding: br"))...)},
		{name: "compressible", routes: "routes:\n" + to("/tag", "/reply", awakeAll("c.tag")) + to("/missing", "/status/404", awakeAll("c.tag")) + to("/weak", "/reply", awakeAll("c.weak")) +
			on("/off/on", awakeAll(per("c.off", "overrides: {response_direction_config: {}}"))) + on("/off", awakeAll("c.off")) + to("/old", "/reply", awakeAll("c.old")) +
			on("/hide/not", awakeAll(per("c.hide", "overrides: {response_direction_config: {remove_accept_encoding_header: false}}"))) + on("/hide/off", awakeAll(per("c.hide", "disabled: true"))) + on("/hide", awakeAll("c.hide")) + on("/", awakeAll("c.gzip")),
			asks: func() (asks []ask) {
				for _, path := range []string{echo("etag=%22a%22"), echo("etag=W/%22a%22"), echo("etag=w/%22a%22"), echo("vary=foo"), echo("vary=foo,accept-encoding"), echo("vary=foo,Accept-Encoding"), echo("vary=*"), echo("content-type=TEXT/html;charset=x"),
					echo("content-type=image/png"), echo("content-type=image/png&etag=%22a%22"), echo("content-encoding=foo"), echo("cache-control=no-transform"), echo("cache-control=max-age=1,+No-Transform"), echo("content-type=application/grpc-web"), echo("content-type=text/x-js"),
					"/status/200", "/tag?etag=%22a%22", "/tag?a", "/tag?content-type=image/png&etag=%22a%22", "/missing", "/weak?etag=%22a%22", "/weak?etag=W/%22a%22", "/off", "/off/on", "/old", "/old?etag=%22a%22", "/hide", "/hide/not", "/hide/off"} {
					asks = append(asks, get(path, "accept-encoding: gzip"))
				}
				return append(asks, get("/tag?etag=%22a%22"), get(echo("content-type=image/png")), get("/hide", "accept-encoding: br"))
			}()},
		{name: "decompress", routes: "routes:\n" + to("/quiet", "/gzip", awakeAll("d.quiet")) + on("/forced", awakeAll("d.forced")) + on("/twice", awakeAll("c.request", "d.gzip")) + on("/buffered", awakeAll("d.gzip", "late")) + on("/only", awakeAll("c.request")) + on("/", awakeAll("d.gzip")),
			asks: []ask{
				get("/"), get("/", "accept-encoding: br"), get("/", "accept-encoding: br", "accept-encoding: x"), get("/gzip"), {method: "HEAD", path: "/gzip"}, get("/quiet"), get("/quiet", "accept-encoding: br"), get("/forced/gzip"), get("/reply?cache-control=no-transform"),
				post("/", zipped(long), coded), post("/", zipped(long), "content-encoding: GZIP"), post("/", zipped(long), coded, "cache-control: no-transform"), post("/forced", zipped(long), coded, "cache-control: no-transform"), post("/", "", coded),
				post("/", "hello", "content-encoding: br"), post("/quiet", zipped(long), "content-encoding: x"), post("/twice", long, text), post("/twice", "short", text), post("/twice", long, "content-type: image/png"), post("/only", "short", text),
				{method: "POST", path: "/", headers: []string{"transfer-encoding: chunked", coded}, body: fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(zipped(long)), zipped(long))},
				deviating(post("/buffered", "hello", coded), silently),
				deviating(post("/", "hello", coded), silently), deviating(post("/", zipped(long)[:30], coded), silently), deviating(post("/", zipped(strings.Repeat("a", 100_000)), coded), silently),
				deviating(post("/", zipped(long), "content-encoding: identity, gzip"), "the last coding that a message names is the one that is taken off (RFC 9110 section 8.4); Envoy looks at the first"),
			}},
	}
}
