package interop

// runtimeLayers are the settings that runtimeStories name, in two layers.
const runtimeLayers = `
layered_runtime:
  layers:
  - name: first
    static_layer: {story.all: 100, story.none: 0, story: {deep: {all: 100}}, story.million: {numerator: 1000000, denominator: MILLION}, story.text: "numerator: 100", story.word: abc, story.much: 1000, story.below: -5, story.yes: true, story.over: 0, story.weights.v1: 0, story.weights.v2: 3}
  - name: second
    static_layer: {story.over: 100, story.no: false}
  - {name: admin, admin_layer: {}}`

func runtimeStories() []story {
	routes := ""
	var asks []ask
	for _, key := range []string{"all", "none", "deep.all", "million", "text", "word", "much", "below", "yes", "over", "missing"} {
		for _, share := range []string{"0", "100"} {
			routes += "- {match: {prefix: /" + key + "-" + share + ", runtime_fraction: {runtime_key: story." + key + ", default_value: {numerator: " + share + "}}}, route: {cluster: v1}}\n"
			a := get("/" + key + "-" + share)
			if key == "text" && share == "0" {
				a.deviates = "a fraction that is written as text is one in each layer of the runtime, not in the admin API's alone"
			}
			asks = append(asks, a)
		}
	}
	// Filters whose policies name keys.
	filtered := func(prefix, filter, message, fields string) {
		routes += on(prefix, awakeAll(filter+`: {"@type": `+httpFilters+message+`, `+fields+`}`))
	}
	for _, key := range []string{"all", "none", "missing"} {
		share := "{runtime_key: story." + key + ", default_value: {numerator: 50, denominator: HUNDRED}}"
		if key == "missing" {
			share = "{runtime_key: story.missing, default_value: {numerator: 100}}"
		}
		filtered("/cors-"+key, "cors", "cors.v3.CorsPolicy", `allow_origin_string_match: [{exact: "https://shop.example"}], filter_enabled: `+share)
		filtered("/csrf-"+key, "csrf", "csrf.v3.CsrfPolicy", "filter_enabled: "+share)
		asks = append(asks, get("/cors-"+key, "origin: https://shop.example"), ask{method: "POST", path: "/csrf-" + key, body: "x", headers: []string{"origin: https://shop.example"}})
	}
	routes += "- {match: {prefix: /weights}, route: {weighted_clusters: {runtime_key_prefix: story.weights, clusters: [{name: v1, weight: 100}, {name: v2, weight: 0}]}}}\n"
	asks = append(asks, get("/weights"), get("/weights"))
	return []story{{name: "runtime", routes: "routes:\n" + routes + "- {match: {prefix: /}, direct_response: {status: 404, body: {inline_string: none}}}\n", asks: asks}}
}
