package interop

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// sessionFilters keep clients at an endpoint, where routes say so.
const sessionFilters = `
- {name: session, disabled: true, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession}}
`

// sessionStory asks how a client is told its endpoint.
func sessionStory() story {
	keep := func(state, more string) string {
		kind, _, _ := strings.Cut(state, ".")
		return `typed_per_filter_config: {session: {"@type": type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute, stateful_session: {session_state: {name: envoy.http.stateful_session.` + kind + `, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.stateful_session.` + state + `}}` + more + `}}}`
	}
	cookie := func(more string) string {
		return `cookie.v3.CookieBasedSessionState, cookie: {name: s` + more + `}`
	}
	const gone = "127.0.0.1:1"
	coded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	message := func(address string) string {
		return base64.StdEncoding.EncodeToString(append([]byte{0x0a, byte(len(address))}, address...))
	}
	named := fmt.Sprintf("cookie: s=%q", message(gone))
	return story{name: "session", routes: "routes:\n" + on("/plain", keep(cookie(""), "")) + on("/path", keep(cookie(", path: /path"), "")) + on("/strict", keep(cookie(""), ", strict: true")) +
		on("/reply/strict", keep("envelope.v3.EnvelopeSessionState, header: {name: x-session}", ", strict: true")) + on("/reply", keep("envelope.v3.EnvelopeSessionState, header: {name: x-session}", "")) +
		on("/more", keep(cookie(`, path: /more, attributes: [{name: SameSite, value: Strict}, {name: Secure}]`), "")) +
		on("/header", keep("header.v3.HeaderBasedSessionState, name: x-endpoint", "")) + on("/header-strict", keep("header.v3.HeaderBasedSessionState, name: x-endpoint", ", strict: true")),
		asks: []ask{
			get("/plain"), get("/plain", named), get("/plain", "cookie: s=nonsense"), get("/plain", "cookie: s=\""+message("shop.example:80")+"\""), get("/path"), get("/path/below"), get("/pathology"),
			get("/strict"), get("/strict", named), get("/strict", "cookie: s=nonsense"), get("/more"), get("/header"), get("/header", "x-endpoint: "+base64.StdEncoding.EncodeToString([]byte(gone))),
			get("/header-strict", "x-endpoint: "+base64.StdEncoding.EncodeToString([]byte(gone))), get("/header", "x-endpoint: nonsense"),
			get("/reply"), get("/reply?x-session=abc"), get("/reply?x-session="), get("/reply?x-session=a&x-session=b"), get("/reply?x-session=abc", "x-session: "+coded(gone)+";UV:"+coded("mine")), get("/reply", "x-session: "+coded(gone)+";UV:"+coded("mine")),
			get("/reply/strict", "x-session: "+coded(gone)+";UV:"+coded("mine")), get("/reply", "x-session: mine"), get("/reply", "x-session: "+coded(gone)), get("/reply/strict", "x-session: "+coded(gone)), get("/reply/strict", "x-session: "+coded(gone)+";UV:???"),
			get("/reply/strict", "x-session: "+coded(gone)+";UV:"), get("/reply/strict", "x-session: ???;UV:"+coded("mine")), get("/reply/strict", "x-session: "+coded(gone)+";XX:"+coded("mine")), get("/reply/strict", "x-session: "+coded(gone)+"; UV:"+coded("mine")),
			get("/reply/strict", "x-session: UV:"+coded("mine")+";"+coded(gone)), get("/reply/strict", "x-session: "+coded(gone)+";AB:x;UV:"+coded("mine")), get("/reply/strict", "x-session: "+coded(gone)+";UV:"+coded("mine")+";UV:"+coded("other")), get("/reply", "x-session: "+coded(gone)+";UV:"+coded("mine")+";UV:"+coded("other")), get("/reply/strict", "x-session: ;UV:"+coded("mine")),
			get("/reply/strict", "x-session: mine", "x-session: "+coded(gone)+";UV:"+coded("mine")),
		}}
}
