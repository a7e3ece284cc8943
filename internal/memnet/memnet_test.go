package memnet

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestHalfClosedConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, err := n.Listen("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, _ := l.Accept()
			asked, _ := io.ReadAll(c)
			_, _ = c.Write(append(asked, '!'))
			c.Close()
		}()
		c, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("hello"))
		_ = c.(*Conn).CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "hello!" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestDeadlinesFallExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.Lose("10.0.0.2:80")
		l, _ := n.Listen("10.0.0.1:80")
		defer l.Close()
		c, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(3 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if _, err := n.Dial(context.Background(), "tcp", "10.0.0.9:80", nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial nobody: got %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "tcp", "10.0.0.2:80", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial into the void: got %v", err)
		}
	})
}
