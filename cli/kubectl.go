package cli

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/plugin"
)

// verbs are kubectl's commands that lateen has under the same names.
var verbs = []struct{ name, short string }{
	{"apply", "Apply manifests"}, {"get", "List objects"}, {"describe", "Show an object in detail"}, {"delete", "Delete objects"},
	{"logs", "Print a container's output"}, {"exec", "Run a command in a container"}, {"label", "Set labels"}, {"annotate", "Set annotations"},
	{"edit", "Edit an object"}, {"set", "Set fields, such as the image"}, {"scale", "Set the number of replicas"},
	{"rollout", "Watch and steer a rollout"}, {"wait", "Wait for a condition"}, {"port-forward", "Forward a local port to a pod"},
	{"create", "Create an object"}, {"patch", "Change fields of an object"}, {"diff", "Compare manifests with what is there"},
	{"events", "List events"}, {"api-resources", "List the kinds of objects"},
}

// addKubectl gives lateen kubectl's commands, and all of kubectl as
// "lateen kubectl".
func addKubectl(root *cobra.Command, cfg Config) {
	for _, v := range verbs {
		root.AddCommand(&cobra.Command{
			Use: v.name, Short: v.short, GroupID: "objects", DisableFlagParsing: true,
			RunE: func(_ *cobra.Command, args []string) error { return runKubectl(cfg, append([]string{v.name}, args...)) },
		})
	}
	root.AddCommand(&cobra.Command{
		Use: "kubectl", Short: "Run any kubectl command", GroupID: "objects", DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return runKubectl(cfg, args) },
	})
}

// runKubectl runs kubectl in this process. The user's own kubeconfig counts
// where there is one, else that of the mesh on this machine.
func runKubectl(cfg Config, args []string) error {
	flags := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().WithDiscoveryBurst(300).WithDiscoveryQPS(50)
	if path := kubeconfigIn(cfg.StateDir); cfg.Kubeconfig == "" && exists(path) {
		flags.KubeConfig = &path
	}
	command := kubectl.NewDefaultKubectlCommandWithArgs(kubectl.KubectlOptions{
		PluginHandler: kubectl.NewDefaultPluginHandler(plugin.ValidPluginFilenamePrefixes),
		Arguments:     append([]string{"kubectl"}, args...),
		ConfigFlags:   flags,
		IOStreams:     genericiooptions.IOStreams{In: cfg.In, Out: cfg.Out, ErrOut: cfg.Err},
	})
	command.SetArgs(args)
	return command.Execute()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
