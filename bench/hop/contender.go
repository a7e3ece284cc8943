package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A contender is one proxy process under measurement.
type contender struct {
	name, program, address string
	admin                  string // where it is asked for profiles
	config, text           string // a file and what is written to it
	args                   []string

	process *exec.Cmd
	loader  interface {
		run(time.Duration) (int, error)
	}
	perRequest []float64 // CPU microseconds, a value a round
	rate       []float64 // requests a second, a value a round
	p50, p99   []float64 // microseconds, a value a round, at a fixed rate
}

// start runs the process and waits until it accepts.
func (c *contender) start(ctx context.Context) error {
	if err := os.WriteFile(c.config, []byte(c.text), 0o600); err != nil {
		return err
	}
	c.process = exec.CommandContext(ctx, c.program, append(c.args, c.config)...)
	c.process.Stderr = os.Stderr
	c.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	for range 200 {
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("start %s: nothing accepts on %s", c.name, c.address)
}

// profileTime is how long a profile is.
const profileTime = 8 * time.Second

// profile loads the process and writes its CPU profile to a file.
func (c *contender) profile(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	loaded := make(chan error, 1)
	go func() {
		_, err := c.loader.run(profileTime + time.Second)
		loaded <- err
	}()
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", c.admin, int(profileTime.Seconds())))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return err
	}
	return errors.Join(out.Close(), <-loaded)
}

func (c *contender) stop() {
	if c.process != nil {
		_ = c.process.Process.Kill()
		_ = c.process.Wait()
		c.process = nil
	}
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux that Go
// runs on.
const tick = 10 * time.Millisecond

// cpu is the time that the process has used, in user and kernel mode.
func (c *contender) cpu() time.Duration {
	if c.process == nil {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.process.Process.Pid))
	if err != nil {
		return 0
	}
	// Fields 14 and 15, counted behind the name, which may hold spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}

// rss is the resident memory in megabytes.
func (c *contender) rss() float64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.process.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return float64(pages*os.Getpagesize()) / 1e6
}
