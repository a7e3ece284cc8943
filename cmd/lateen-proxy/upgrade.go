package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lateenmesh/lateen/proxy/socket"
)

// What a process that hands over tells the next one: the addresses of the sockets
// that follow standard error, in their order. The pipe behind them is told when the
// next one serves.
const socketsVariable = "LATEEN_SOCKETS"

// sockets opens listening sockets, or takes those that the process before has
// handed over, and hands them on.
type sockets struct {
	mu        sync.Mutex
	inherited map[string]*os.File  // guarded by mu; those that nobody has asked for yet
	open      map[string]*handable // guarded by mu
	ready     *os.File             // nil where nobody waits
}

// handed are the sockets that can be: of TCP and of Unix.
type handed interface {
	net.Listener
	File() (*os.File, error)
}

// handable is a socket that may be handed on while it is open.
type handable struct {
	handed
	from *sockets
	at   string
}

// Close closes it here; it stays open where it was handed to.
func (h *handable) Close() error {
	h.from.mu.Lock()
	if h.from.open[h.at] == h {
		delete(h.from.open, h.at)
	}
	h.from.mu.Unlock()
	return h.handed.Close()
}

// newSockets takes what the process before has handed over.
func newSockets() *sockets {
	s := &sockets{inherited: map[string]*os.File{}, open: map[string]*handable{}}
	list, handed := os.LookupEnv(socketsVariable)
	os.Unsetenv(socketsVariable) // not for those that we start
	if !handed {
		return s
	}
	fd := uintptr(3)
	for _, at := range strings.FieldsFunc(list, func(r rune) bool { return r == '\n' }) {
		s.inherited[at] = os.NewFile(fd, at)
		fd++
	}
	s.ready = os.NewFile(fd, "ready")
	return s
}

// listen opens a socket, or takes it.
func (s *sockets) listen(a socket.Address) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := a.String()
	var l net.Listener
	var err error
	if f := s.inherited[at]; f != nil {
		l, err = net.FileListener(f)
		f.Close() // the listener has its own
		delete(s.inherited, at)
	} else {
		l, err = socket.Open(a)
	}
	if err != nil {
		return nil, err
	}
	socket, ok := l.(handed)
	if !ok {
		return l, nil
	}
	h := &handable{socket, s, at}
	s.open[at] = h
	return h, nil
}

// serving tells the process before that this one serves, and lets go of sockets
// that are not needed any more.
func (s *sockets) serving() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, f := range s.inherited {
		f.Close()
		delete(s.inherited, at)
	}
	if s.ready != nil {
		_, _ = s.ready.Write([]byte{1}) // if nobody waits any more, nobody needs to know
		s.ready.Close()
		s.ready = nil
	}
	notify("READY=1")
}

// handoverTime is how long the next process may take to serve.
const handoverTime = 2 * time.Minute

// handOver starts the program anew, as it is on the disk now, with the same
// arguments and our sockets, and returns when it serves. When that fails this
// process goes on as if nothing had happened.
func (s *sockets) handOver() error {
	if os.Getpid() == 1 {
		return errors.New("process 1 cannot hand over: its end would end the container; run it below an init")
	}
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return err
	}
	var names []string
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	s.mu.Lock()
	for at, l := range s.open {
		f, err := l.File()
		if err != nil {
			s.mu.Unlock()
			return fmt.Errorf("hand over %s: %w", at, err)
		}
		names, files = append(names, at), append(files, f)
	}
	s.mu.Unlock()
	ready, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	files = append(files, tell)
	next := exec.Command(program, os.Args[1:]...)
	next.Stdin, next.Stdout, next.Stderr, next.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, files
	next.Env = append(slices.Clone(os.Environ()), socketsVariable+"="+strings.Join(names, "\n"))
	if err := next.Start(); err != nil {
		return err
	}
	tell.Close() // the other end is the next process's: it says something, or it ends
	files = files[:len(files)-1]
	ended := make(chan error, 1)
	go func() { ended <- next.Wait() }()
	if err := ready.SetReadDeadline(time.Now().Add(handoverTime)); err != nil {
		return errors.Join(err, next.Process.Kill())
	}
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		_ = next.Process.Kill() // it may have ended by itself
		return fmt.Errorf("the next process does not serve: %w", <-ended)
	}
	notify(fmt.Sprintf("MAINPID=%d", next.Process.Pid))
	return nil
}

// notify tells systemd, where it is the one that started us (sd_notify(3)).
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return // whoever set the variable does not listen
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, state)
}

// handOverOnSignal hands over at each SIGHUP until it has succeeded: then it calls
// quit, with which this process begins to drain.
func (s *sockets) handOverOnSignal(ctx context.Context, log *slog.Logger, quit func()) error {
	return onSignal(ctx, syscall.SIGHUP, func() bool {
		if err := s.handOver(); err != nil {
			log.Error("hand over", "error", err)
			return false
		}
		log.Info("the next process serves, this one drains")
		quit()
		return true
	})
}

// servingSoon calls s.serving once ready holds.
func (s *sockets) servingSoon(ctx context.Context, ready func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	s.serving()
	return nil
}
