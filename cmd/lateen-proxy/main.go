// Lateen-proxy is the data plane: a sidecar or a gateway with its agent in one
// process, or a plain proxy that runs an Envoy bootstrap file.
//
//	lateen-proxy sidecar | gateway        (also: proxy sidecar, proxy router)
//	lateen-proxy static -c envoy.yaml
//	lateen-proxy istio-iptables …         (sets the redirect and exits)
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.LookupEnv, os.Environ()); err != nil {
		fmt.Fprintln(os.Stderr, "lateen-proxy:", err)
		os.Exit(1)
	}
}

const usage = "usage: lateen-proxy sidecar | gateway | static -c FILE | istio-iptables …"

// command runs what the arguments ask for.
func command(ctx context.Context, args []string, env func(string) (string, bool), environ []string) error {
	if len(args) > 0 && args[0] == "proxy" {
		args = args[1:] // Istio's spelling
	}
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch rest := args[1:]; args[0] {
	case "sidecar", "gateway", "router":
		s, err := readSettings(args[0] != "sidecar", rest, env, environ)
		if err != nil {
			return err
		}
		return runAgent(ctx, s)
	case "static":
		return runStatic(ctx, rest)
	case "istio-iptables", "init":
		return redirectOnce(env)
	default:
		return fmt.Errorf("command %q is not known\n%s", args[0], usage)
	}
}

// redirectOnce is what the init container does: nothing in the explicit mode,
// where the pod's address is the agent's own.
func redirectOnce(env func(string) (string, bool)) error {
	if v, _ := env("LATEEN_EXPLICIT"); v == "1" {
		fmt.Println("explicit mode: nothing to redirect")
		return nil
	}
	return fmt.Errorf("transparent redirect is not built yet: run the pod by `lateen up`, which redirects explicitly (LATEEN_EXPLICIT=1)")
}
