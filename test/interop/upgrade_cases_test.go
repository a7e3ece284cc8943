package interop

// upgradeStory asks to change protocols with an upstream that does not.
func upgradeStory() story {
	up := func(path, protocol string, more ...string) ask {
		return get(path, append([]string{"connection: Upgrade", "upgrade: " + protocol}, more...)...)
	}
	// Its upstream does not change protocols.
	websocket := func(path, protocol string) ask {
		a := up(path, protocol, "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
		a.deviates = "the answer of an upstream that refuses a WebSocket is passed on as it is; Envoy keeps its status alone"
		return a
	}
	malformed := func(target string) ask {
		return ask{method: "CONNECT", path: target, deviates: "a CONNECT to something else than host and port is refused as malformed, without `date` and `server`"}
	}
	return story{name: "upgrades", routes: `
routes:
- {match: {connect_matcher: {}}, route: {cluster: v1}}
- {match: {prefix: /never}, route: {cluster: v1, upgrade_configs: [{upgrade_type: websocket, enabled: false}]}}
- {match: {prefix: /own}, route: {cluster: v1, upgrade_configs: [{upgrade_type: own}, {upgrade_type: "closed"}]}}
- {match: {prefix: /}, route: {cluster: v1}}`,
		asks: []ask{
			websocket("/ws", "websocket"), websocket("/ws", "WebSocket"), up("/foo", "foo"), up("/closed", "closed"), up("/never", "websocket"), up("/own", "own"), up("/own", "closed"), websocket("/own", "websocket"),
			get("/h2c", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk"), get("/alone", "upgrade: websocket"), get("/none", "connection: upgrade"),
			{method: "CONNECT", path: "elsewhere:80"}, malformed("/path"), malformed("upgrades"),
		}}
}
