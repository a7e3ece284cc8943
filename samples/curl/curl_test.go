package curl

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOptionsThatTranscriptsUse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
		}
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("X-Test"), body)
	}))
	defer server.Close()
	for _, tc := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"-s", server.URL + "/a", "-H", "x-test: yes"}, "GET /a yes ", 0},
		{[]string{"-o", "/dev/null", "-s", "-w", "%{http_code}\n", server.URL + "/a"}, "200\n", 0},
		{[]string{"-s", "-d", "k=v", server.URL}, "POST /  k=v", 0},
		{[]string{"-X", "PUT", server.URL + "/b"}, "PUT /b  ", 0},
		{[]string{"-sf", server.URL + "/missing"}, "", exitHTTP},
		{[]string{"-s", "http://127.0.0.1:1/"}, "", exitConnect},
		{[]string{"-s"}, "", exitUsage},
	} {
		var out, errs strings.Builder
		code := Main(tc.args, strings.NewReader(""), &out, &errs)
		if out.String() != tc.want || code != tc.code {
			t.Errorf("curl %q = %q, exit %d; want %q, exit %d", tc.args, out.String(), code, tc.want, tc.code)
		}
	}
}
