// Command lateen runs a mesh on this machine and drives it.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lateenmesh/lateen/cli"
	"github.com/lateenmesh/lateen/local"
)

var version = "dev" // set by the linker

func main() {
	command := cli.New(cli.Config{
		Version:    version,
		Kubeconfig: os.Getenv("KUBECONFIG"),
		StateDir:   stateDir(),
		NewHome:    func(c cli.HomeConfig) (cli.Home, error) { return local.New(c) },
		In:         os.Stdin,
		Out:        os.Stdout,
		Err:        os.Stderr,
	})
	if err := command.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// stateDir follows the XDG base directories.
func stateDir() string {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ".lateen"
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "lateen")
}
