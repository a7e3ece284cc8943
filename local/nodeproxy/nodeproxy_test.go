package nodeproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"golang.org/x/net/proxy"
)

func free(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func server(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func get(t *testing.T, client *http.Client, u string) string {
	t.Helper()
	resp, err := client.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func TestConnectionsGoRoundTheEndpoints(t *testing.T) {
	p := New(Config{})
	at := free(t)
	gone := free(t)
	p.Set([]Port{{Name: "default/shop:80", Listen: []netip.AddrPort{at}, Endpoints: []netip.AddrPort{server(t, "a"), gone, server(t, "b")}}})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	seen := map[string]int{}
	for range 12 {
		seen[get(t, client, "http://"+at.String())]++
	}
	if seen["a"] == 0 || seen["b"] == 0 || len(seen) != 2 {
		t.Errorf("saw %v; want both endpoints that answer", seen)
	}
	p.Set(nil)
	if _, err := client.Get("http://" + at.String()); err == nil {
		t.Error("a Service that is gone still answers")
	}
}

func TestPodsWithoutSidecarReachServicesByName(t *testing.T) {
	at, shop := free(t), server(t, "shop")
	p := New(Config{Mixed: at, Resolve: func(_ context.Context, _ netip.Addr, name string) (netip.Addr, error) {
		if name != "shop" {
			return netip.Addr{}, errors.New("no such host")
		}
		return shop.Addr(), nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	for {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			c.Close()
			break
		}
	}
	target := fmt.Sprintf("http://shop:%d/", shop.Port())
	via := func(scheme string) *http.Client {
		u, _ := url.Parse(scheme + "://" + at.String())
		if scheme == "http" {
			return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u)}}
		}
		d, err := proxy.FromURL(u, proxy.Direct)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Transport: &http.Transport{DialContext: d.(proxy.ContextDialer).DialContext}}
	}
	for _, scheme := range []string{"http", "socks5"} {
		if got := get(t, via(scheme), target); got != "shop" {
			t.Errorf("%s: got %q", scheme, got)
		}
	}
	if resp, err := via("http").Get("http://nobody/"); err != nil || resp.StatusCode != http.StatusBadGateway {
		t.Errorf("an unknown name: %v, %v; want 502", resp, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
