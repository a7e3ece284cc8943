package interop

// conditionStory is of what else than path and fields a route may ask for.
func conditionStory() story {
	to := func(path, match string) string {
		return "- {name: \"" + path + "\", match: {prefix: " + path + ", " + match + "}, route: {cluster: v1}}\n"
	}
	s := story{name: "conditions", routes: "routes:\n" + to("/grpc", "grpc: {}") + to("/exact", `cookies: [{name: a, string_match: {exact: "1"}}]`) +
		to("/not", `cookies: [{name: a, string_match: {exact: "1"}, invert_match: true}]`) + to("/both", `cookies: [{name: a, string_match: {prefix: "1"}}, {name: b, string_match: {safe_regex: {regex: "2+"}}}]`) +
		to("/quoted", `cookies: [{name: a, string_match: {exact: "\"1\""}}]`) + to("/fold", `cookies: [{name: A, string_match: {contains: "X", ignore_case: true}}]`) +
		to("/presented", "tls_context: {presented: true}") + to("/bare", "tls_context: {presented: false}") + to("/any", "tls_context: {}") +
		"- {name: rest, match: {prefix: /}, route: {cluster: v2}}\n"}
	for _, kind := range []string{"application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpcx", "application/grpc;x", "text/plain"} {
		s.asks = append(s.asks, get("/grpc", "content-type: "+kind))
	}
	for _, path := range []string{"/exact", "/not", "/both", "/quoted", "/fold"} {
		for _, c := range []string{"a=1", "b=22; a=1", "a=12;b=2", "a=2; a=1", "a=1; a=2", `a="1"`, "A=1", "a=", "a", "", "b=2", "aa=1; a =1", " a=1 ;", "A=yxz"} {
			s.asks = append(s.asks, get(path, "cookie: "+c))
		}
		s.asks = append(s.asks, get(path), get(path, "cookie: b=2", "cookie: a=1"), get(path, "cookie: a=2", "cookie: a=1"))
	}
	for _, path := range []string{"/presented", "/bare", "/any"} {
		s.asks = append(s.asks, get(path))
	}
	return s
}
