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
	}
}
