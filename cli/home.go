package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
)

// HomeConfig says what "lateen up" wants of the one-machine home.
type HomeConfig struct {
	// Dir is where it keeps its files.
	Dir string
	// Network is its block of addresses, such as 127.64.0.0/16; empty takes a
	// free one.
	Network string
	// Images is a lateen.yaml that maps images to programs; empty is none.
	Images string
	// LogLevel is debug, info, warn or error.
	LogLevel string
}

// Home is the mesh's place on one machine: its API, its controllers and the pods
// that it runs.
type Home interface {
	// Run blocks until ctx ends and everything that it started has stopped.
	Run(ctx context.Context) error
	// Started is closed when the API answers and the kubeconfig is written.
	Started() <-chan struct{}
	// RESTConfig reaches the API.
	RESTConfig() *rest.Config
}

// The files of a mesh, in its folder.
const (
	pidFile = "pid"
	logFile = "up.log"
)

// lock claims dir for this process; release lets it go. The lock falls with the
// process, however that ends.
func lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, pidFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("a mesh is running in %s (process %s): stop it with \"lateen down\", or give this one another folder with --dir", dir, running(dir))
	}
	if err := errors.Join(file.Truncate(0), write(file, strconv.Itoa(os.Getpid()))); err != nil {
		file.Close()
		return nil, err
	}
	return func() {
		_ = file.Truncate(0)
		file.Close()
	}, nil
}

func write(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

func running(dir string) string {
	text, _ := os.ReadFile(filepath.Join(dir, pidFile))
	return strings.TrimSpace(string(text))
}

func downCommand(cfg Config) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "down", Short: "Stop the mesh on this machine", Args: cobra.NoArgs, GroupID: "mesh",
		Long: "Stop the mesh on this machine and all of its pods. Its objects stay in its folder:\nthe next \"lateen up\" finds them again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := os.OpenFile(filepath.Join(dir, pidFile), os.O_RDWR, 0)
			if errors.Is(err, os.ErrNotExist) {
				fmt.Fprintf(cmd.OutOrStdout(), "no mesh is running in %s\n", dir)
				return nil
			}
			if err != nil {
				return err
			}
			defer file.Close()
			if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "no mesh is running in %s\n", dir)
				return nil
			}
			pid, err := strconv.Atoi(running(dir))
			if err != nil {
				return fmt.Errorf("read %s: %w", filepath.Join(dir, pidFile), err)
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return fmt.Errorf("stop process %d: %w", pid, err)
			}
			return waitReleased(file, pid)
		},
	}
	dirFlag(c, &dir, cfg)
	return c
}

// waitReleased waits until the process has let go of its lock.
func waitReleased(file *os.File, pid int) error {
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("process %d has not stopped after a minute: end it with \"kill -9 %d\"", pid, pid)
		}
	}
}
