// Command hop measures what one proxy hop costs: CPU time per request of the
// proxy process, for HTTP/1.1 keep-alive with a 1 KB reply, plain and with
// mutual TLS from the client, through lateen-proxy, nginx and Envoy.
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
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

type settings struct {
	lateen, nginx, envoy string
	rounds               int
	slice                time.Duration
	conns                int
}

func main() {
	var s settings
	flag.StringVar(&s.lateen, "lateen", "bin/lateen-proxy", "lateen-proxy")
	flag.StringVar(&s.nginx, "nginx", "nginx", "nginx")
	flag.StringVar(&s.envoy, "envoy", os.Getenv("LATEEN_ENVOY"), "Envoy")
	flag.IntVar(&s.rounds, "rounds", 15, "rounds")
	flag.DurationVar(&s.slice, "slice", time.Second, "load per contender and round")
	flag.IntVar(&s.conns, "conns", 16, "connections")
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
	backend, err := serveBackend()
	if err != nil {
		return err
	}
	defer backend.Close()
	for _, tls := range []bool{false, true} {
		contenders := contendersOf(s, dir, backend.Addr().String(), certs, tls)
		for _, c := range contenders {
			if err := c.start(ctx); err != nil {
				return err
			}
			defer c.stop()
		}
		if err := compare(s, contenders, certs, tls); err != nil {
			return err
		}
		for _, c := range contenders {
			c.stop()
		}
	}
	return nil
}

// compare loads each contender in turn and prints the table.
func compare(s settings, contenders []*contender, certs certificates, tls bool) error {
	for _, c := range contenders {
		c.loader = newLoader(c.address, s.conns, certs, tls)
		if _, err := c.loader.run(s.slice / 2); err != nil { // warm up
			return fmt.Errorf("%s: %w", c.name, err)
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
			c.perRequest = append(c.perRequest, float64((c.cpu()-before).Microseconds())/float64(n))
			c.rate = append(c.rate, float64(n)/time.Since(start).Seconds())
		}
	}
	title := "plain"
	if tls {
		title = "mutual TLS from the client"
	}
	fmt.Printf("\nHTTP/1.1 keep-alive, 1 KB, %d connections, one core each, %s\n", s.conns, title)
	fmt.Printf("%-14s %12s %12s %10s %14s\n", "proxy", "CPU us/req", "requests/s", "RSS MB", "lateen / it")
	for _, c := range contenders {
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

func contendersOf(s settings, dir, backend string, certs certificates, tls bool) []*contender {
	var found []*contender
	add := func(name, program, config, text string, args ...string) {
		path, err := exec.LookPath(program)
		if program == "" || err != nil {
			fmt.Printf("left out: %s is not installed\n", name)
			return
		}
		file := filepath.Join(dir, fmt.Sprintf("%s-%v-%s", name, tls, config))
		c := &contender{name: name, program: path, config: file, text: text, args: args}
		found = append(found, c)
	}
	suffix := 0
	if tls {
		suffix = 10
	}
	for i, port := range []int{18080 + suffix, 18081 + suffix, 18082 + suffix} {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		before := len(found)
		switch i {
		case 0:
			add("lateen-proxy", s.lateen, "static.yaml", envoyConfig(port, backend, certs, tls), "static", "--concurrency", "1", "-l", "warning", "-c")
		case 1:
			add("nginx", s.nginx, "nginx.conf", nginxConfig(dir, port, backend, certs, tls), "-c")
		case 2:
			add("envoy", s.envoy, "envoy.yaml", envoyConfig(port, backend, certs, tls), "--concurrency", "1", "-l", "warning", "--disable-hot-restart", "-c")
		}
		if len(found) > before {
			found[before].address = address
		}
	}
	return found
}
