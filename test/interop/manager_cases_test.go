package interop

// pathManagers treat slashes that are escaped in each of the ways that there are, with
// and without the other rules for paths.
func pathManagers() []managed {
	var asks []ask
	for _, path := range []string{
		"/a%5Cb", "/a%2F..%2Fb", "/a%2Fb/%2e%2e/c?x=%2F", "/a%5C..%5Cb", "/a/..%2f../c", "/a%2f%2fb", "/../../x", "/a/.%2e/b", "/a//b", "/a%2", "/%2f%00", "/a%00b", "/a%252fb", "/a%2fb%20c#d%2f", "//a%2fb",
	} {
		asks = append(asks, get(path))
	}
	var out []managed
	for name, rules := range map[string]string{"": "", "normal": "normalize_path: true\n", "merged": "merge_slashes: true\n", "both": "normalize_path: true\nmerge_slashes: true\n"} {
		for _, action := range []string{"UNESCAPE_AND_REDIRECT", "REJECT_REQUEST", "UNESCAPE_AND_FORWARD"} {
			out = append(out, managed{name: action + name, manager: rules + "path_with_escaped_slashes_action: " + action, stories: []story{{name: "a.example", routes: "routes: [{match: {prefix: /}, route: {cluster: v1}}]", asks: asks}}})
		}
	}
	return out
}
