// Package cli is the program lateen: the mesh on one machine, and kubectl's own
// commands pointed at it.
package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Config is what the program knows when it starts.
type Config struct {
	// Version of the build.
	Version string
	// Kubeconfig is the user's own choice (KUBECONFIG), empty when there is none.
	Kubeconfig string
	// StateDir is where a mesh keeps its files unless --dir says otherwise.
	StateDir string
	// NewHome makes the one-machine home that "up" runs.
	NewHome func(HomeConfig) (Home, error)
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
}

// New builds the command tree.
func New(cfg Config) *cobra.Command {
	root := &cobra.Command{
		Use:           "lateen",
		Short:         "A service mesh that speaks Istio's API",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(cfg.In)
	root.SetOut(cfg.Out)
	root.SetErr(cfg.Err)
	root.AddGroup(&cobra.Group{ID: "mesh", Title: "The mesh on this machine:"}, &cobra.Group{ID: "objects", Title: "Its objects (kubectl's own commands):"})
	root.AddCommand(upCommand(cfg), downCommand(cfg), kubeconfigCommand(cfg), versionCommand(cfg))
	addKubectl(root, cfg)
	return root
}

func versionCommand(cfg Config) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, GroupID: "mesh",
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "lateen", cfg.Version) },
	}
}

func kubeconfigCommand(cfg Config) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the kubeconfig file", Args: cobra.NoArgs, GroupID: "mesh",
		Example: "  export KUBECONFIG=$(lateen kubeconfig)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := kubeconfigIn(dir)
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("no mesh has run in %s: start one with \"lateen up\"", dir)
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
	dirFlag(c, &dir, cfg)
	return c
}

func dirFlag(c *cobra.Command, dir *string, cfg Config) {
	c.Flags().StringVar(dir, "dir", cfg.StateDir, "folder in which the mesh keeps its files")
}

// kubeconfigIn is the kubeconfig of the mesh that keeps its files in dir.
func kubeconfigIn(dir string) string { return filepath.Join(dir, "kubeconfig") }
