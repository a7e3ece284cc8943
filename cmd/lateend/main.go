// Lateend is the control plane of a Lateen mesh: discovery, certificate
// authority, injection, validation and status. It answers to the flags of
// Istio's `pilot-discovery discovery`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	settings, err := readSettings(os.Args[1:], os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lateend:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, settings); err != nil {
		fmt.Fprintln(os.Stderr, "lateend:", err)
		os.Exit(1)
	}
}
