package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const handedOver = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: %s}}
    additional_addresses: [{address: {pipe: {path: %q}}}]
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %q}}}]}]}
`

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A running process hands its sockets to the next one, with another configuration,
// and no request is lost on the way; a next one that cannot serve changes nothing.
func TestHandOver(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "lateen-proxy")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	admin, web, config := freePort(t), freePort(t), filepath.Join(dir, "envoy.yaml")
	local := filepath.Join(dir, "a socket")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(handedOver, admin, web, local, "one"))
	cmd := exec.Command(program, "static", "-c", config, "-l", "error", "--drain-time-s", "1")
	said, err := os.Create(filepath.Join(dir, "said")) // a pipe would end with the last process only
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		resp, err := http.Post("http://127.0.0.1:"+admin+"/quitquitquit", "", nil) // whoever serves now
		if err == nil {
			resp.Body.Close()
		}
		cmd.Process.Kill()
	})
	get := func(c *http.Client) (string, error) {
		resp, err := c.Get("http://127.0.0.1:" + web + "/")
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return string(body), err
	}
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			got, err := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
			if err == nil && got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("got %q, %v; want %q", got, err, want)
			}
		}
	}
	until("one")

	var stop atomic.Bool
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
			for !stop.Load() {
				if _, err := get(c); err != nil {
					t.Errorf("lost: %v", err)
					return
				}
			}
		})
	}
	defer load.Wait()
	defer stop.Store(true)

	write("static_resources: {listeners: [{name: broken}]}")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	late := time.After(time.Minute)
	for told := ""; !strings.Contains(told, "the next process does not serve"); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("ended with %v, though the next process cannot serve", err)
		case <-late:
			t.Fatalf("a next process that cannot serve is not told of:\n%s", told)
		default:
		}
		text, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		told = string(text)
	}
	until("one")
	write(fmt.Sprintf(handedOver, admin, web, local, "two"))
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("two")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the first process ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the first process goes on")
	}
	until("two")
	byPath := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", local) }}}
	if got, err := get(byPath); err != nil || got != "two" {
		t.Errorf("by the Unix socket: got %q, %v", got, err)
	}
}

// systemd is told of the process that is the service now.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify("MAINPID=7")
	got := make([]byte, 100)
	if n, err := l.Read(got); err != nil || string(got[:n]) != "MAINPID=7" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", path+"-none")
	notify("READY=1") // nobody is there
}
