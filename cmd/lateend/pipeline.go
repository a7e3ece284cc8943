package main

import (
	"fmt"
	"log/slog"

	istioapi "istio.io/client-go/pkg/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lateenmesh/lateen/control"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/status"
)

// newPipeline makes the journey of a config change. What it finds wrong with
// users' objects goes to writer, which may be nil.
func newPipeline(s settings, config *rest.Config, client kubernetes.Interface, writer *status.Writer, log *slog.Logger) (pipeline, error) {
	istio, err := istioapi.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	c := control.Config{Kube: client, Istio: istio, DomainSuffix: s.Domain, RootNamespace: s.Namespace, Log: log}
	if writer != nil {
		c.OnProblems = func(vs []control.Verdict) { judge(writer, vs) }
	}
	return control.New(c), nil
}

// judge hands the pipeline's verdicts on users' objects to whoever writes them
// down.
func judge(w *status.Writer, verdicts []control.Verdict) {
	for _, v := range verdicts {
		o, ok := object(v.Object)
		switch {
		case !ok:
		case v.Gone:
			w.Forget(o)
		default:
			w.Set(status.Report{Object: o, Generation: v.Object.Generation, Problems: told(v.Problems)})
		}
	}
}

func told(problems []mesh.Problem) []status.Problem {
	var out []status.Problem
	for _, p := range problems {
		level := status.Warning
		if p.Severity == mesh.Error {
			level = status.Error
		}
		out = append(out, status.Problem{Level: level, Message: p.Field + ": " + p.Message})
	}
	return out
}
