package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// runStatic runs an Envoy bootstrap file.
func runStatic(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lateen-proxy static", flag.ContinueOnError)
	file := flags.String("c", "", "Envoy bootstrap file, YAML or JSON")
	word := flags.String("l", "info", "log level")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file == "" {
		return errors.New("static: name the bootstrap file with -c")
	}
	l, err := level(*word)
	if err != nil {
		return err
	}
	var levels slog.LevelVar
	levels.Set(l)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &levels}))
	config, err := bootstrap.Load(*file)
	if err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	p, err := proxy.New(proxy.Config{Bootstrap: config, Log: log, Level: &levels, Quit: quit, Version: version, DrainTime: config.Drain})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// serveHTTP serves on an address until ctx ends.
func serveHTTP(ctx context.Context, at netip.AddrPort, h http.Handler) error {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("serve the agent's port: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %v: %w", at, err)
	}
	return nil
}
