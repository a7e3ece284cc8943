package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

type upOptions struct {
	home      HomeConfig
	files     []string
	recursive bool
	detach    bool
	inject    bool
	reportTo  int // a file descriptor for a waiting parent, 0 for none
}

func upCommand(cfg Config) *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use: "up [FILE|DIR]...", Short: "Start a mesh on this machine", GroupID: "mesh",
		Long: `Start a mesh on this machine: an API that kubectl understands, the control plane,
the ingress gateway, and the pods of the given manifests, each as a process with a
sidecar beside it. A folder stands for its *.yaml, *.yml and *.json files. Nothing needs
root.`,
		Example: "  lateen up --detach samples/bookinfo\n  lateen up -f shop.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.files = append(o.files, args...)
			var err error
			if o.home.Dir, err = filepath.Abs(o.home.Dir); err != nil { // pods run in folders of their own
				return err
			}
			if o.detach {
				return o.runDetached(cmd)
			}
			return o.run(cmd, cfg)
		},
	}
	f := c.Flags()
	dirFlag(c, &o.home.Dir, cfg)
	f.StringArrayVarP(&o.files, "filename", "f", nil, "manifest or folder of manifests to apply (may be repeated)")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "look into the folders' folders too")
	f.BoolVarP(&o.detach, "detach", "d", false, "return when everything is ready and leave the mesh running")
	f.BoolVar(&o.inject, "inject", true, "label the namespace default istio-injection=enabled when it has no such label")
	f.StringVar(&o.home.Network, "network", "", "block of loopback addresses, such as 127.64.0.0/16 (default: a free one)")
	f.StringVar(&o.home.Images, "images", "", "lateen.yaml that maps images to programs (default: ./lateen.yaml if it is there)")
	f.StringVar(&o.home.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.IntVar(&o.reportTo, "report-to", 0, "file descriptor that the state is written to")
	_ = f.MarkHidden("report-to")
	return c
}

// run is the mesh itself: it ends with a signal.
func (o *upOptions) run(cmd *cobra.Command, cfg Config) error {
	report := cmd.OutOrStdout()
	if o.reportTo > 0 {
		syscall.CloseOnExec(o.reportTo) // it is not for the pods
		pipe := os.NewFile(uintptr(o.reportTo), "report")
		defer pipe.Close()
		report = pipe
	}
	err := o.serve(cmd.Context(), report, cfg)
	if err != nil && o.reportTo > 0 {
		fmt.Fprintln(report, "error:", err)
	}
	return err
}

func (o *upOptions) serve(ctx context.Context, report io.Writer, cfg Config) error {
	objects, err := readManifests(o.files, o.recursive)
	if err != nil {
		return err
	}
	release, err := lock(o.home.Dir)
	if err != nil {
		return err
	}
	defer release()
	if o.home.Images == "" && exists("lateen.yaml") {
		o.home.Images = "lateen.yaml"
	}
	home, err := cfg.NewHome(o.home)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return home.Run(ctx) })
	group.Go(func() error {
		select {
		case <-home.Started():
		case <-ctx.Done():
			return nil
		}
		setup, err := newSetup(home.RESTConfig(), report)
		if err != nil {
			return err
		}
		if err := setup.run(ctx, objects, o.inject); err != nil {
			if ctx.Err() != nil {
				return nil // stopped while starting: not an error of its own
			}
			return err
		}
		setup.printNextSteps(ctx, o.home.Dir)
		if closer, ok := report.(io.Closer); ok && o.reportTo > 0 {
			return closer.Close()
		}
		return nil
	})
	return group.Wait()
}

const readyLine = "ready"

// runDetached starts the same program again as a process of its own, shows what
// it reports, and returns when it is ready.
func (o *upOptions) runDetached(cmd *cobra.Command) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.home.Dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(o.home.Dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	reports, reporter, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reports.Close()
	child := exec.Command(program, o.arguments()...)
	child.Stdout, child.Stderr = log, log
	child.ExtraFiles = []*os.File{reporter} // descriptor 3
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return err
	}
	reporter.Close()
	return o.follow(cmd, reports)
}

// arguments are those for the child: the same, without --detach.
func (o *upOptions) arguments() []string {
	args := []string{"up", "--report-to", "3", "--dir", o.home.Dir, "--network", o.home.Network, "--images", o.home.Images,
		"--log-level", o.home.LogLevel, fmt.Sprintf("--inject=%v", o.inject), fmt.Sprintf("--recursive=%v", o.recursive)}
	for _, file := range o.files {
		args = append(args, "-f", file)
	}
	return args
}

// follow prints the child's reports until it is ready or gone.
func (o *upOptions) follow(cmd *cobra.Command, reports io.Reader) error {
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		if text, failed := strings.CutPrefix(lines.Text(), "error: "); failed {
			return errors.New(text)
		}
		if lines.Text() == readyLine {
			return nil
		}
		fmt.Fprintln(cmd.OutOrStdout(), lines.Text())
	}
	return fmt.Errorf("the mesh stopped while it was starting: %s says why", filepath.Join(o.home.Dir, logFile))
}
