package interop

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// backend is an upstream that tells what reached it.
type backend struct {
	name string
	port string

	mu    sync.Mutex     // guards flaky
	flaky map[string]int // calls by path and caller
}

func newBackend(t *testing.T, name string) *backend {
	b := &backend{name: name, flaky: map[string]int{}}
	s := httptest.NewUnstartedServer(b)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	_, b.port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return b
}

// echo is what a backend saw of a request.
type echo struct {
	Backend, Method, Path, Host, Body string
	Headers                           []string
}

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Backend", b.name)
	if r.Method == http.MethodConnect { // it is no proxy
		w.WriteHeader(http.StatusMethodNotAllowed)
		json.NewEncoder(w).Encode(b.seen(r, string(body)))
		return
	}
	kind, arg, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch kind {
	case "status":
		code, _ := strconv.Atoi(arg)
		w.WriteHeader(code)
		fmt.Fprintf(w, "as you asked: %d\n", code)
		return
	case "sleep":
		ms, _ := strconv.Atoi(arg)
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
		}
	case "fields":
		n, _ := strconv.Atoi(arg)
		for i := range n {
			w.Header().Set(fmt.Sprint("X-Field-", i), "1")
		}
		w.WriteHeader(http.StatusOK)
		return
	case "redirect": // with a status, to where the query says
		code, _ := strconv.Atoi(arg)
		_, to, _ := strings.Cut(r.URL.RawQuery, "to=")
		w.Header().Set("Location", to)
		w.Header().Set("X-Copied", "from the redirect")
		w.WriteHeader(code)
		io.WriteString(w, "elsewhere")
		return
	case "tardy": // a name, then for each try its milliseconds, and its status if it is not 200
		late, status := b.tardy(r, strings.Split(arg, "/")[1:])
		select {
		case <-time.After(late):
		case <-r.Context().Done():
		}
		w.WriteHeader(status)
	case "drip": // n bytes, one each time that so many milliseconds have passed
		each, n, _ := strings.Cut(arg, "/")
		ms, _ := strconv.Atoi(each)
		count, _ := strconv.Atoi(n)
		for w.WriteHeader(200); count > 0; count-- {
			http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
			case <-r.Context().Done():
				return
			}
			io.WriteString(w, "x")
		}
		return
	case "flaky":
		b.mu.Lock()
		b.flaky[r.URL.Path+r.Header.Get("X-Peer")]++
		n := b.flaky[r.URL.Path+r.Header.Get("X-Peer")]
		b.mu.Unlock()
		if n <= 2 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
	case "reply": // with the fields that the query names
		for name, values := range r.URL.Query() {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
	case "gzip":
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		coded := gzip.NewWriter(w)
		json.NewEncoder(coded).Encode(b.seen(r, string(body)))
		coded.Close()
		return
	case "token": // for a client, telling how it was asked for
		form, _ := url.ParseQuery(string(body))
		asked, _ := json.Marshal([]any{r.Method, r.RequestURI, r.Host, r.Header["Content-Type"], r.Header["Accept"], form})
		json.NewEncoder(w).Encode(map[string]any{"access_token": base64.RawURLEncoding.EncodeToString(asked), "expires_in": 3600, "token_type": "Bearer"})
		return
	case "authz":
		b.authorize(w, r, string(body))
		return
	case "reset":
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	json.NewEncoder(w).Encode(b.seen(r, string(body)))
}

// tardy is how the next of a caller's tries is answered: after how many
// milliseconds, and with which status.
func (b *backend) tardy(r *http.Request, words []string) (time.Duration, int) {
	b.mu.Lock()
	n := b.flaky[r.URL.Path+r.Header.Get("X-Peer")]
	b.flaky[r.URL.Path+r.Header.Get("X-Peer")]++
	b.mu.Unlock()
	late, status, _ := strings.Cut(words[min(n, len(words)-1)], "-")
	ms, _ := strconv.Atoi(late)
	code, err := strconv.Atoi(status)
	if err != nil {
		code = 200
	}
	return time.Duration(ms) * time.Millisecond, code
}

func (b *backend) seen(r *http.Request, body string) echo {
	e := echo{Backend: b.name, Method: r.Method, Path: r.RequestURI, Host: r.Host, Body: body}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if ignoredUpstream[name] {
			continue
		}
		for _, v := range r.Header[name] {
			e.Headers = append(e.Headers, name+": "+v)
		}
	}
	return e
}

// authorize answers as an authorization service, by the last word of the path.
// What it was asked it tells in x-user.
func (b *backend) authorize(w http.ResponseWriter, r *http.Request, body string) {
	asked, _ := json.Marshal(b.seen(r, body))
	h := w.Header()
	h.Set("x-user", string(asked))
	h.Set("x-more", "more")
	h.Set("x-granted", "yes")
	h.Set("x-reason", "because")
	h.Set("x-hidden", "1")
	h.Set("www-authenticate", "Basic")
	status := map[string]int{"allow": 200, "deny": 403, "401": 401, "500": 500, "302": 302}[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
	if status == 302 {
		h.Set("location", "http://login.example/")
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "the answer is %d", status)
}

// ignoredUpstream are request headers whose values differ by run.
var ignoredUpstream = map[string]bool{"X-Request-Id": true, "X-Peer": true}
