// Command lateen-samples holds the sample applications in one program:
//
//	lateen-samples run NAME [ARG...]   runs an application in a pod
//	lateen-samples curl [OPTION...]    calls a URL, as the program curl does
package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/lateenmesh/lateen/samples/app"
	"github.com/lateenmesh/lateen/samples/bookinfo"
	"github.com/lateenmesh/lateen/samples/counter"
	"github.com/lateenmesh/lateen/samples/curl"
	"github.com/lateenmesh/lateen/samples/helloworld"
	"github.com/lateenmesh/lateen/samples/httpbin"
	"github.com/lateenmesh/lateen/samples/tcpecho"
)

var apps = map[string]app.App{
	"details":     app.HTTP("9080", bookinfo.Details),
	"ratings":     app.HTTP("9080", bookinfo.Ratings),
	"reviews":     app.HTTP("9080", bookinfo.Reviews),
	"productpage": app.HTTP("9080", bookinfo.Productpage),
	"httpbin":     app.HTTP("8080", httpbin.Handler),
	"helloworld":  app.HTTP("5000", helloworld.Handler),
	"counter":     counter.Run,
	"redis":       counter.Redis,
	"tcp-echo":    tcpecho.Run,
	// The curl image only waits for somebody to exec into it.
	"curl": func(ctx context.Context, _ app.Settings) error { <-ctx.Done(); return nil },
}

func main() {
	args := os.Args[1:]
	switch {
	case len(args) > 0 && args[0] == "curl":
		os.Exit(curl.Main(args[1:], os.Stdin, os.Stdout, os.Stderr))
	case len(args) > 1 && args[0] == "run" && apps[args[1]] != nil:
		run(args[1], args[2:])
	default:
		fmt.Fprintf(os.Stderr, "usage: lateen-samples run NAME [ARG...]\n       lateen-samples curl [OPTION...] URL...\nnames: %s\n",
			strings.Join(slices.Sorted(maps.Keys(apps)), " "))
		os.Exit(2)
	}
}

func run(name string, args []string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("app", name)
	calls := http.DefaultTransport.(*http.Transport).Clone()
	calls.MaxIdleConnsPerHost = 64
	if err := apps[name](ctx, app.Settings{Args: args, Getenv: os.Getenv, Calls: calls, Log: log}); err != nil {
		log.Error("stopped", "error", err)
		os.Exit(1)
	}
}
