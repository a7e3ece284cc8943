package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// static are Envoy's options as far as they mean something here.
type static struct {
	file, text              string // a bootstrap file, and one that is merged over it
	level, mode             string
	concurrency             int
	drain                   time.Duration
	flush                   time.Duration
	node, cluster, locality string
	ignored                 []string
}

// pointless are Envoy's options that have nothing to act on here.
var pointless = map[string]string{
	"component-log-level": "", "log-format": "", "log-path": "", "base-id": "", "base-id-path": "", "restart-epoch": "", "parent-shutdown-time-s": "",
	"drain-strategy": "", "local-address-ip-version": "", "file-flush-min-size-kb": "", "bootstrap-version": "", "socket-path": "", "socket-mode": "",
	"disable-hot-restart": "bool", "use-dynamic-base-id": "bool", "skip-deprecated-logs": "bool", "enable-core-dump": "bool",
	"allow-unknown-static-fields": "bool", "reject-unknown-dynamic-fields": "bool", "ignore-unknown-dynamic-fields": "bool", "cpuset-threads": "bool",
	"enable-mutex-tracing": "bool", "enable-fine-grain-logging": "bool",
}

func readStatic(args []string) (static, error) {
	var s static
	var drain, flush int
	flags := flag.NewFlagSet("lateen-proxy static", flag.ContinueOnError)
	for _, name := range []string{"c", "config-path"} {
		flags.StringVar(&s.file, name, "", "Envoy bootstrap file, YAML or JSON")
	}
	flags.StringVar(&s.text, "config-yaml", "", "bootstrap in YAML, merged over the file")
	for _, name := range []string{"l", "log-level"} {
		flags.StringVar(&s.level, name, "info", "trace, debug, info, warning, error, critical or off")
	}
	flags.StringVar(&s.mode, "mode", "serve", "serve, or validate: check the bootstrap and exit")
	flags.IntVar(&s.concurrency, "concurrency", 0, "CPUs to use; 0 is all that the process may")
	flags.IntVar(&drain, "drain-time-s", 0, "seconds that connections are let finish on exit")
	flags.IntVar(&flush, "file-flush-interval-msec", 1000, "milliseconds between writes of access logs")
	flags.StringVar(&s.node, "service-node", "", "node id")
	flags.StringVar(&s.cluster, "service-cluster", "", "node's cluster")
	flags.StringVar(&s.locality, "service-zone", "", "node's zone")
	for name, kind := range pointless {
		if kind == "bool" {
			flags.Bool(name, false, "taken for compatibility, without effect")
		} else {
			flags.String(name, "", "taken for compatibility, without effect")
		}
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	flags.Visit(func(f *flag.Flag) {
		if _, without := pointless[f.Name]; without {
			s.ignored = append(s.ignored, "--"+f.Name)
		}
	})
	s.drain, s.flush = time.Duration(drain)*time.Second, time.Duration(flush)*time.Millisecond
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("static: unexpected argument %q", flags.Arg(0))
	case s.file == "" && s.text == "":
		return s, errors.New("static: name the bootstrap file with -c")
	case s.mode != "serve" && s.mode != "validate":
		return s, fmt.Errorf("static: --mode %q is not supported: want serve or validate", s.mode)
	}
	return s, nil
}

// bootstrap reads the file and what is merged over it.
func (s static) bootstrap() (*bootstrap.Config, error) {
	if s.text == "" {
		return bootstrap.Load(s.file)
	}
	var file []byte
	if s.file != "" {
		var err error
		if file, err = os.ReadFile(s.file); err != nil {
			return nil, fmt.Errorf("read bootstrap: %w", err)
		}
	}
	merged, err := mergeYAML(file, []byte(s.text))
	if err != nil {
		return nil, fmt.Errorf("merge --config-yaml: %w", err)
	}
	return bootstrap.Parse(merged)
}

// mergeYAML merges as protobuf does: objects field by field, lists one behind the
// other, and for the rest the second wins.
func mergeYAML(under, over []byte) ([]byte, error) {
	var a, b map[string]any
	if err := yaml.Unmarshal(under, &a); err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(over, &b); err != nil {
		return nil, err
	}
	return json.Marshal(merge(a, b))
}

func merge(under, over any) any {
	switch o := over.(type) {
	case map[string]any:
		u, _ := under.(map[string]any)
		out := map[string]any{}
		for k, v := range u {
			out[k] = v
		}
		for k, v := range o {
			out[k] = merge(out[k], v)
		}
		return out
	case []any:
		u, _ := under.([]any)
		return append(append([]any{}, u...), o...)
	}
	return over
}

// runStatic runs an Envoy bootstrap file.
func runStatic(ctx context.Context, args []string) error {
	s, err := readStatic(args)
	if err != nil {
		return err
	}
	log, levels, err := logger(s.level)
	if err != nil {
		return err
	}
	for _, name := range s.ignored {
		log.Warn("option has no effect", "option", name)
	}
	// Reading leaves much behind: collected early, it leaves fewer holes between
	// what stays.
	usual := debug.SetGCPercent(20)
	config, err := s.bootstrap()
	if err != nil {
		return err
	}
	for _, note := range config.Notes {
		log.Warn("deprecated spelling", "note", note)
	}
	config.Node.Id, config.Node.Cluster = cmp.Or(s.node, config.Node.Id), cmp.Or(s.cluster, config.Node.Cluster)
	if s.locality != "" {
		if config.Node.Locality == nil {
			config.Node.Locality = &corev3.Locality{}
		}
		config.Node.Locality.Zone = s.locality
	}
	concurrency(s.concurrency)
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	open := newSockets()
	p, err := proxy.New(proxy.Config{
		Listen: open.listen, Bootstrap: config, Log: log, Level: levels, Quit: quit, Version: version, DrainTime: cmp.Or(s.drain, config.Drain), LogFlush: s.flush,
	})
	if err != nil {
		return err
	}
	debug.SetGCPercent(usual)
	if s.mode == "validate" {
		fmt.Printf("configuration '%s' OK\n", s.file)
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return reopenOnSignal(ctx, p) })
	group.Go(func() error { return open.servingSoon(ctx, p.Serving) })
	group.Go(func() error { return settle(ctx, p.Serving) })
	group.Go(func() error { return open.handOverOnSignal(ctx, log, quit) })
	group.Go(func() error { return p.Run(ctx) })
	return group.Wait()
}
