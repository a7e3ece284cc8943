// Lateen-proxy is the data plane: a sidecar or a gateway with its agent in one
// process, or a plain proxy that runs an Envoy bootstrap file.
//
//	lateen-proxy sidecar | gateway        (also: proxy sidecar, proxy router)
//	lateen-proxy static -c envoy.yaml
//	lateen-proxy istio-iptables …         (sets the redirect and exits)
//	lateen-proxy version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := command(ctx, os.Args[1:], os.LookupEnv, os.Environ())
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lateen-proxy:", err)
		os.Exit(1)
	}
}

const usage = `usage:
  lateen-proxy sidecar | gateway    the data plane of a pod, told by its environment
  lateen-proxy static -c FILE       an Envoy bootstrap file
  lateen-proxy istio-iptables …     set the redirect of a pod
  lateen-proxy version`

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
	case "version", "--version":
		fmt.Println(versionText())
		return nil
	case "help", "--help", "-h":
		fmt.Println(usage)
		return nil
	default:
		return fmt.Errorf("command %q is not known\n%s", args[0], usage)
	}
}

// version is what the proxy calls itself.
const version = "dev"

// versionText is the version and what the program was built from.
func versionText() string {
	text := "lateen-proxy " + version + " " + runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				text += " " + s.Value
			}
		}
	}
	return text
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
