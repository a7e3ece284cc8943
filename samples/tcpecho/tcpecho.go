// Package tcpecho answers each line that it reads with the same line behind a
// word, over plain TCP.
package tcpecho

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/lateenmesh/lateen/samples/app"
)

// Run listens on the ports of the first argument ("9000,9001") and puts the
// second ("hello") before each line.
func Run(ctx context.Context, s app.Settings) error {
	if len(s.Args) != 2 {
		return fmt.Errorf("tcp-echo: want two arguments, PORT[,PORT]... and PREFIX, got %q", s.Args)
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, port := range strings.Split(s.Args[0], ",") {
		group.Go(func() error { return listen(ctx, s, s.Address(port, i == 0)) })
	}
	return group.Wait()
}

func listen(ctx context.Context, s app.Settings, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.Log.Info("listening", "address", address)
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		// The process ends with its connections: nothing waits for them.
		go echo(conn, s.Args[1])
	}
}

func echo(conn net.Conn, prefix string) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if _, err := fmt.Fprintf(conn, "%s %s\n", prefix, lines.Text()); err != nil {
			return
		}
	}
}
