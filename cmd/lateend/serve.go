package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
)

// serveGRPC serves until ctx ends, then lets calls end for a while.
func serveGRPC(g *grpc.Server) func(context.Context, net.Listener) error {
	return func(ctx context.Context, l net.Listener) error {
		served := make(chan error, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); served <- g.Serve(l) }()
		defer func() { <-ended }()
		select {
		case err := <-served:
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		case <-ctx.Done():
		}
		force := time.AfterFunc(endWithin, g.Stop)
		defer force.Stop()
		g.GracefulStop()
		return nil
	}
}

// serveHTTP serves until ctx ends, then lets requests end for a while. A nil
// tls is plain HTTP.
func serveHTTP(h http.Handler, config *tls.Config) func(context.Context, net.Listener) error {
	return func(ctx context.Context, l net.Listener) error {
		server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		if config != nil {
			l = tls.NewListener(l, config)
		}
		served := make(chan error, 1)
		ended := make(chan struct{})
		go func() { defer close(ended); served <- server.Serve(l) }()
		defer func() { <-ended }()
		select {
		case err := <-served:
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		case <-ctx.Done():
		}
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		return server.Shutdown(within)
	}
}
