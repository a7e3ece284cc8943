// Command hop measures what one proxy hop costs: CPU time per request of the
// proxy process, through lateen-proxy, nginx or HAProxy, and Envoy. The scenarios are in the
// list below; nginx is left out where it has nothing to compare with.
//
// All contenders are up at once and get slices of load in turn; a row is the
// median over the rounds, and ratios are medians of per-round ratios, because
// absolute times drift on shared machines while ratios hold. Contenders that
// are not installed are left out, and the output says so.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

type settings struct {
	lateen, nginx, envoy, haproxy string
	rounds                        int
	slice                         time.Duration
	conns                         int
	only                          string
	// base is another build of lateen-proxy to compare with, profiles a folder for CPU
	// profiles of the loaded proxy; empty is none.
	base, profiles string
}

func main() {
	var s settings
	flag.StringVar(&s.lateen, "lateen", "bin/lateen-proxy", "lateen-proxy")
	flag.StringVar(&s.nginx, "nginx", "nginx", "nginx")
	flag.StringVar(&s.envoy, "envoy", os.Getenv("LATEEN_ENVOY"), "Envoy")
	flag.StringVar(&s.haproxy, "haproxy", "haproxy", "HAProxy")
	flag.IntVar(&s.rounds, "rounds", 15, "rounds")
	flag.DurationVar(&s.slice, "slice", time.Second, "load per contender and round")
	flag.IntVar(&s.conns, "conns", 16, "connections")
	flag.StringVar(&s.only, "only", "", "one scenario by its name")
	flag.StringVar(&s.base, "base", "", "another build of lateen-proxy, to compare with")
	flag.StringVar(&s.profiles, "profiles", "", "a folder for CPU profiles of lateen-proxy under load, by scenario")
	flag.Parse()
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "hop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "hop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	certs, err := writeCertificates(dir)
	if err != nil {
		return err
	}
	for i, sc := range scenarios {
		if s.only != "" && sc.name != s.only {
			continue
		}
		if err := measure(ctx, s, sc, filepath.Join(dir, sc.name), certs, 18080+10*i); err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
	}
	return nil
}

// A scenario is one kind of load.
type scenario struct {
	name, title string
	tls, grpc   bool
	sidecar     bool // the filters and the access log of Istio's sidecars
	pair        bool // two sidecars, with mutual TLS and access rules between
	routes      int  // before the one that is taken
	handshake   bool // a connection for each request
	tcp         bool // bytes in bulk; a "request" is a megabyte
	rate        int  // requests a second in all; 0 is as many as go
}

var scenarios = []scenario{
	{name: "plain", title: "HTTP/1.1 keep-alive, 1 KB, 16 connections, router only"},
	{name: "sidecar", title: "HTTP/1.1 keep-alive, 1 KB, 16 connections, Istio's filters and access log", sidecar: true},
	{name: "mtls", title: "HTTP/1.1 keep-alive, 1 KB, 16 connections, mutual TLS from the client", tls: true},
	{name: "pair", title: "HTTP/1.1 keep-alive, 1 KB, client sidecar, mutual TLS, server sidecar with access rules, both with access log", sidecar: true, pair: true},
	{name: "grpc", title: "gRPC unary, 1 KB each way, 100 streams on 4 connections", grpc: true},
	{name: "handshake", title: "a new connection with mutual TLS for each request", tls: true, handshake: true},
	{name: "routes", title: "HTTP/1.1 keep-alive, 1 KB, the last of 10,000 routes", routes: 10_000},
	{name: "tcp", title: "TCP, a stream in bulk from the upstream on each of 4 connections (a request is a megabyte)", tcp: true},
	{name: "latency", title: "HTTP/1.1 keep-alive, 1 KB, Istio's filters and access log, 1,000 requests a second", sidecar: true, rate: 1000},
}

func measure(ctx context.Context, s settings, sc scenario, dir string, certs certificates, port int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	backendOf := func() (net.Listener, error) { return serve(answer) }
	switch {
	case sc.grpc:
		backendOf = serveGRPC
	case sc.tcp:
		backendOf = func() (net.Listener, error) { return serve(pour) }
	}
	backend, err := backendOf()
	if err != nil {
		return err
	}
	defer backend.Close()
	contenders := contendersOf(s, sc, dir, backend.Addr().String(), certs, port)
	defer func() {
		for _, c := range contenders {
			c.stop()
		}
	}()
	for _, c := range contenders {
		if err := c.start(ctx); err != nil {
			return err
		}
	}
	if sc.rate > 0 {
		contenders = append(contenders, &contender{name: "no proxy", address: backend.Addr().String()})
	}
	return compare(s, sc, contenders, certs)
}

// compare loads each contender in turn and prints the table.
func compare(s settings, sc scenario, contenders []*contender, certs certificates) error {
	for _, c := range contenders {
		c.loader = loadOf(c.address, s.conns, certs, sc)
		if _, err := c.loader.run(s.slice / 2); err != nil { // warm up
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if s.profiles != "" {
		if err := contenders[0].profile(filepath.Join(s.profiles, sc.name+".pprof")); err != nil {
			return err
		}
	}
	for range s.rounds {
		for _, c := range contenders {
			before := c.cpu()
			start := time.Now()
			n, err := c.loader.run(s.slice)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if l, ok := c.loader.(*paced); ok {
				c.p50, c.p99 = append(c.p50, l.quantile(0.5)), append(c.p99, l.quantile(0.99))
			}
			c.perRequest = append(c.perRequest, float64((c.cpu()-before).Microseconds())/float64(n))
			c.rate = append(c.rate, float64(n)/time.Since(start).Seconds())
		}
	}
	fmt.Printf("\n%s, one core each\n", sc.title)
	fmt.Printf("%-14s %12s %12s %10s %14s\n", "proxy", "CPU us/req", "requests/s", "RSS MB", "lateen / it")
	for _, c := range contenders {
		if sc.rate > 0 {
			fmt.Printf("%-14s latency p50 %6.0f us, p99 %6.0f us\n", c.name, median(c.p50), median(c.p99))
		}
		if c.process == nil {
			continue
		}
		ratios := make([]float64, len(c.perRequest))
		for i := range ratios {
			ratios[i] = contenders[0].perRequest[i] / c.perRequest[i]
		}
		fmt.Printf("%-14s %12.1f %12.0f %10.1f %14.2f\n", c.name, median(c.perRequest), median(c.rate), c.rss(), median(ratios))
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func contendersOf(s settings, sc scenario, dir, backend string, certs certificates, port int) []*contender {
	var found []*contender
	add := func(name, program, config, text string, args ...string) {
		path, err := exec.LookPath(program)
		if program == "" || err != nil {
			fmt.Printf("left out: %s is not installed\n", name)
			return
		}
		file := filepath.Join(dir, name+"-"+config)
		c := &contender{name: name, program: path, config: file, text: text, args: args}
		c.admin = fmt.Sprintf("127.0.0.1:%d", port+9)
		found = append(found, c)
	}
	lateen := envoyConfig(port, backend, certs, sc)
	if s.profiles != "" {
		lateen += fmt.Sprintf("admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}\n", port+9)
	}
	for i := range 4 {
		address := fmt.Sprintf("127.0.0.1:%d", port+i)
		before := len(found)
		switch i {
		case 0:
			add("lateen-proxy", s.lateen, "static.yaml", lateen, "static", "--concurrency", "1", "-l", "warning", "-c")
		case 1:
			if sc.tcp {
				add("haproxy", s.haproxy, "haproxy.cfg", haproxyConfig(port+1, backend), "-f")
			}
			if sc.sidecar || sc.routes > 0 || sc.tcp {
				break
			}
			add("nginx", s.nginx, "nginx.conf", nginxConfig(dir, port+1, backend, certs, sc), "-c")
		case 2:
			add("envoy", s.envoy, "envoy.yaml", envoyConfig(port+2, backend, certs, sc), "--concurrency", "1", "-l", "warning", "--disable-hot-restart", "-c")
		}
		if i == 3 && s.base != "" {
			add("base", s.base, "static.yaml", envoyConfig(port+3, backend, certs, sc), "static", "--concurrency", "1", "-l", "warning", "-c")
		}
		if len(found) > before {
			found[before].address = address
		}
	}
	return found
}
