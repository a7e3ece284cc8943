package interop

// timeStories are of the limits of tries and requests.
func timeStories() []story {
	return []story{
		{name: "idle-try", routes: `
routes:
- {match: {prefix: /retried}, route: {cluster: v1, prefix_rewrite: /, timeout: 3s, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_idle_timeout: 0.2s}}}
- {match: {prefix: /once}, route: {cluster: v1, prefix_rewrite: /, timeout: 3s, retry_policy: {per_try_idle_timeout: 0.2s}}}
- {match: {prefix: /reset}, route: {cluster: v1, prefix_rewrite: /, timeout: 3s, retry_policy: {retry_on: reset, per_try_idle_timeout: 0.2s}}}
- {match: {prefix: /refused}, route: {cluster: v1, prefix_rewrite: /, timeout: 3s, retry_policy: {retry_on: refused-stream, per_try_idle_timeout: 0.2s}}}`,
			asks: []ask{
				get("/retriedsleep/500"), get("/retrieddrip/80/5"), get("/retrieddrip/400/2"), get("/retrieddrip/0/3"), get("/oncesleep/500"), get("/oncedrip/400/2"), get("/resetsleep/500"), get("/refusedsleep/500"),
				{method: "POST", path: "/retriedsleep/500", body: "hello"}, {method: "POST", path: "/retriedsleep/0", body: "hello"},
			}},
		{name: "hedge", routes: `
include_request_attempt_count: true
include_attempt_count_in_response: true
hedge_policy: {hedge_on_per_try_timeout: true}
routes:
- {match: {prefix: /once}, route: {cluster: v1, prefix_rewrite: /, timeout: 3s, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.2s}}}
- {match: {prefix: /twice}, route: {cluster: v1, prefix_rewrite: /, timeout: 2s, retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.2s}}}
- {match: {prefix: /never}, route: {cluster: v1, prefix_rewrite: /, timeout: 1s, retry_policy: {num_retries: 2, per_try_timeout: 0.2s}}}
- {match: {prefix: /idle}, route: {cluster: v1, prefix_rewrite: /, timeout: 2s, retry_policy: {retry_on: 5xx, num_retries: 2, per_try_idle_timeout: 0.2s}}}
- {match: {prefix: /own}, route: {cluster: v1, prefix_rewrite: /, timeout: 2s, hedge_policy: {}, retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.2s}}}
- {match: {prefix: /plain}, route: {cluster: v1, prefix_rewrite: /, timeout: 2s}}
- {match: {prefix: /none}, route: {cluster: none, timeout: 2s, retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.2s}}}
- {match: {prefix: /empty}, route: {cluster: empty, timeout: 2s, retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.2s}}}`,
			asks: []ask{
				get("/oncesleep/0"), get("/oncetardy/a/600/0"), get("/oncetardy/b/300/3000"), get("/oncesleep/500"), get("/twicesleep/3000"), get("/neversleep/500"), get("/neversleep/2000"),
				get("/idletardy/c/600/0"), get("/idledrip/300/3"), get("/ownsleep/500"), get("/plainsleep/300"), get("/none"), get("/empty"), get("/onceflaky/h1"), get("/twiceflaky/h2"), get("/oncereset"),
				get("/oncetardy/d/700/0-503"), get("/oncetardy/e/400-503/600"), get("/twicetardy/f/900/0-503/0-503"), get("/twicetardy/l/400-503/600-503"),
				{method: "POST", path: "/oncetardy/g/600/0", body: "hello"}, {method: "POST", path: "/oncesleep/500", body: "hello"}, {method: "HEAD", path: "/oncetardy/i/600/0"},
				{method: "POST", path: "/oncesleep/0", headers: []string{"transfer-encoding: chunked"}, body: "5\r\nhello\r\n0\r\n\r\n"},
				{method: "POST", path: "/oncetardy/m/600/0", headers: []string{"transfer-encoding: chunked"}, body: "5\r\nhello\r\n0\r\n\r\n"},
				get("/plaintardy/j/600/0", "x-forwarded-for: 10.1.2.3", "x-envoy-retry-on: 5xx", "x-envoy-upstream-rq-per-try-timeout-ms: 100"),
				get("/owntardy/k/600/0", "x-forwarded-for: 10.1.2.3", "x-envoy-hedge-on-per-try-timeout: true"), get("/oncesleep/500", "x-forwarded-for: 10.1.2.3", "x-envoy-hedge-on-per-try-timeout: false"),
			}},
		{name: "idle-route", routes: `
routes:
- {match: {prefix: /short}, route: {cluster: v1, prefix_rewrite: /, timeout: 4s, idle_timeout: 0.2s}}
- {match: {prefix: /never}, route: {cluster: v1, prefix_rewrite: /, timeout: 0s, idle_timeout: 0s}}
- {match: {prefix: /tried}, route: {cluster: v1, prefix_rewrite: /, timeout: 4s, idle_timeout: 0.2s, retry_policy: {retry_on: 5xx, num_retries: 2}}}
- {match: {prefix: /follow}, route: {cluster: v1, prefix_rewrite: /, idle_timeout: 0.2s, internal_redirect_policy: {}}}
- {match: {prefix: /}, route: {cluster: v1, timeout: 4s}}`,
			asks: []ask{
				get("/shortsleep/2500"), get("/shortsleep/0"), get("/shortdrip/80/6"), get("/shortdrip/1500/2"), get("/neversleep/600"), get("/triedsleep/2500"), get("/sleep/400"),
				{method: "POST", path: "/shortsleep/2500", body: "hello"}, {method: "POST", path: "/shortsleep/0", headers: []string{"transfer-encoding: chunked"}, body: "5\r\nhello\r\n"}, {path: "/followredirect/302?to=http://idle-route/sleep/500", lines: 2},
			}},
		{name: "duration", routes: `
routes:
- {match: {prefix: /max}, route: {cluster: v1, prefix_rewrite: /, timeout: 0.1s, max_stream_duration: {max_stream_duration: 0.3s}}}
- {match: {prefix: /grpc}, route: {cluster: v1, prefix_rewrite: /, timeout: 0.1s, max_stream_duration: {grpc_timeout_header_max: 0.3s, grpc_timeout_header_offset: 0.05s}}}
- {match: {prefix: /any}, route: {cluster: v1, prefix_rewrite: /, max_stream_duration: {grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1s}}}
- {match: {prefix: /both}, route: {cluster: v1, prefix_rewrite: /, max_stream_duration: {max_stream_duration: 0.3s, grpc_timeout_header_max: 0s}}}
- {match: {prefix: /empty}, route: {cluster: v1, prefix_rewrite: /, timeout: 0.1s, max_stream_duration: {}}}
- {match: {prefix: /zero}, route: {cluster: v1, prefix_rewrite: /, timeout: 0.1s, max_stream_duration: {max_stream_duration: 0s}}}
- {match: {prefix: /retry}, route: {cluster: v1, prefix_rewrite: /, max_stream_duration: {max_stream_duration: 0.8s}, retry_policy: {retry_on: 5xx, num_retries: 9, per_try_timeout: 0.3s}}}
- {match: {prefix: /hedge}, route: {cluster: v1, prefix_rewrite: /, max_stream_duration: {max_stream_duration: 1s}, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.3s}}}
- {match: {prefix: /plain}, route: {cluster: v1, prefix_rewrite: /}}`,
			asks: func() (asks []ask) {
				grpc := "content-type: application/grpc"
				for _, path := range []string{"/max", "/grpc", "/any", "/both", "/empty", "/zero", "/plain"} {
					for _, t := range []string{"", "grpc-timeout: 5S", "grpc-timeout: 2S"} {
						headers := []string{t}
						if t == "" {
							headers = nil
						}
						asks = append(asks, get(path+"sleep/0", headers...), get(path+"sleep/0", append(headers, grpc)...))
					}
				}
				return append(asks, get("/maxsleep/800"), get("/maxsleep/800", grpc), get("/maxdrip/200/5"), get("/maxdrip/50/3"), get("/maxsleep/150"), get("/grpcsleep/400", "grpc-timeout: 200m"), get("/grpcsleep/400", grpc, "grpc-timeout: 900m"),
					get("/grpcsleep/400"), get("/anysleep/0", "grpc-timeout: 100m"), get("/anysleep/0", grpc, "grpc-timeout: 100m"), get("/bothsleep/400", "grpc-timeout: 100m"), get("/bothsleep/400", "grpc-timeout: 2S"), get("/emptysleep/300"), get("/zerosleep/300"),
					get("/retrysleep/1500"), get("/hedgesleep/1500"), ask{method: "POST", path: "/maxsleep/800", body: "hello"}, get("/maxsleep/800", "x-forwarded-for: 10.1.2.3", "x-envoy-upstream-rq-timeout-ms: 100"))
			}()},
	}
}
