// Package control wires the stages of a config change in order: objects come
// in by source, become rules in config, resources in translate, each proxy's
// share in push; xds (wired by the program) streams them.
//
// All of it is one graph with one owner, the goroutine of [Control.Run].
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	istioapi "istio.io/client-go/pkg/clientset/versioned"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/config"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/push"
	"github.com/lateenmesh/lateen/control/source"
)

// Config says where the objects come from and what the cluster is called.
type Config struct {
	Kube  kubernetes.Interface
	Istio istioapi.Interface
	// DomainSuffix of the cluster; "cluster.local" when empty.
	DomainSuffix string
	// RootNamespace holds the mesh's settings and the rules for all
	// namespaces; "istio-system" when empty.
	RootNamespace string
	// OnProblems is told, after each commit, what became of the objects that
	// it judged anew. It is called by one goroutine and must not block.
	OnProblems func([]Verdict)
	// OnCommit is told of each commit and what it took; it must not block.
	OnCommit func(Commit)
	Log      *slog.Logger
}

// Verdict is what is wrong with one object in an epoch.
type Verdict struct {
	Epoch  uint64
	Object mesh.Meta
	// Problems is empty when the object is fine.
	Problems []mesh.Problem
	// Gone is true when the object is no longer there.
	Gone bool
}

// Commit is one transaction of the graph.
type Commit struct {
	Epoch uint64
	Edits int // how many edits it gathered
}

// Control is the control plane's pipeline.
type Control struct {
	cfg    Config
	graph  *collection.Graph
	tables source.Tables
	rules  config.Rules
	stage  *push.Stage
	hub    *push.Hub

	mu      sync.Mutex
	pending []func(*collection.Tx) // guarded by mu
	wake    chan struct{}
	synced  atomic.Bool
	mesh    atomic.Pointer[mesh.Config]
}

var _ mesh.Publisher = (*Control)(nil)

// New builds the graph; nothing runs until Run.
func New(cfg Config) *Control {
	if cfg.DomainSuffix == "" {
		cfg.DomainSuffix = "cluster.local"
	}
	if cfg.RootNamespace == "" {
		cfg.RootNamespace = "istio-system"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Control{cfg: cfg, graph: collection.New(), wake: make(chan struct{}, 1)}
	c.tables = source.NewTables(c.graph)
	registry := source.NewRegistry(c.graph, c.tables)
	c.rules = config.New(c.graph, config.Inputs{
		VirtualServices: c.tables.VirtualServices.Collection, DestinationRules: c.tables.DestinationRules.Collection,
		Gateways: c.tables.Gateways.Collection, PeerAuthentications: c.tables.PeerAuthentications.Collection,
		ServiceEntries: c.tables.ServiceEntries.Collection, Untranslated: c.tables.Untranslated.Collection,
		Secrets: c.tables.Secrets.Collection, ServicesByHost: registry.ByHost, Workloads: registry.Workloads,
		DomainSuffix: cfg.DomainSuffix, RootNamespace: cfg.RootNamespace,
	})
	c.stage = push.New(c.graph, push.Inputs{
		Mesh: c.tables.MeshConfig.Collection, MeshKey: source.MeshKey,
		Services: registry.Services, Endpoints: registry.Endpoints, ByHost: registry.ByHost, Workloads: registry.Workloads,
		VirtualServices: c.rules.VirtualServices, VirtualServicesByGateway: c.rules.ByGateway,
		DestinationRules: c.rules.DestinationRules, Gateways: c.rules.Gateways, Secrets: c.tables.Secrets.Collection,
		Rules: c.rules, Translation: translation(), DomainSuffix: cfg.DomainSuffix, Log: cfg.Log,
	})
	c.hub = push.NewHub(c.stage, c.submit)
	return c
}

// Run watches the API server and keeps every proxy's snapshot up to date until
// ctx ends. When idle a change commits at once; while a commit runs, changes
// gather and go together.
func (c *Control) Run(ctx context.Context) error {
	defer c.hub.Close()
	watch := source.Watch{
		Kube: c.cfg.Kube, Istio: c.cfg.Istio, DomainSuffix: c.cfg.DomainSuffix, RootNamespace: c.cfg.RootNamespace,
		Tables: c.tables, Log: c.cfg.Log, Apply: func(e source.Edit) { c.submit(e) },
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- watch.Run(ctx, func() { close(ready) }) }()
	defer func() { cancel(); <-ended }()
	select {
	case <-ready: // nothing is published before all that was there is in
	case err := <-ended:
		ended <- nil
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return ctx.Err()
		}
		return fmt.Errorf("watch the API server: %w", err)
	}
	c.commit()
	c.synced.Store(true)
	c.cfg.Log.Info("all objects are read", "epoch", c.graph.Epoch())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
			c.commit()
		}
	}
}

// submit queues an edit for the next commit.
func (c *Control) submit(edit func(*collection.Tx)) {
	c.mu.Lock()
	c.pending = append(c.pending, edit)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // a commit is due already
	}
}

// commit applies everything that is queued, as one transaction.
func (c *Control) commit() {
	c.mu.Lock()
	edits := c.pending
	c.pending = nil
	c.mu.Unlock()
	if len(edits) == 0 {
		return
	}
	epoch := c.graph.Commit(func(tx *collection.Tx) {
		for _, e := range edits {
			e(tx)
		}
	})
	if m, ok := c.tables.MeshConfig.Get(source.MeshKey); ok {
		c.mesh.Store(m)
	}
	// Whoever sees the first snapshot finds us ready.
	c.synced.Store(true)
	c.hub.Publish(epoch)
	if c.cfg.OnProblems != nil {
		if vs := c.verdicts(epoch); len(vs) > 0 {
			c.cfg.OnProblems(vs)
		}
	}
	if c.cfg.OnCommit != nil {
		c.cfg.OnCommit(Commit{Epoch: epoch, Edits: len(edits)})
	}
}

// verdicts are the judgements that the last commit changed: on the objects by
// themselves and among each other, and on what proxies could be given of them.
func (c *Control) verdicts(epoch uint64) []Verdict {
	changed, gone := map[string]bool{}, map[string]mesh.Meta{}
	for _, ch := range c.rules.Problems.Changes() {
		changed[ch.Key] = true
		if !ch.Has {
			gone[ch.Key] = ch.Old.Object
		}
	}
	for _, ch := range c.stage.Problems.Changes() {
		changed[ch.Key] = true
	}
	var out []Verdict
	for _, key := range slices.Sorted(maps.Keys(changed)) {
		if object, ok := gone[key]; ok {
			out = append(out, Verdict{Epoch: epoch, Object: object, Gone: true})
		} else if j, ok := c.rules.Problems.Get(key); ok {
			left, _ := c.stage.Problems.Get(key)
			out = append(out, Verdict{Epoch: epoch, Object: j.Object, Problems: slices.Concat(j.Problems, left)})
		}
	}
	return out
}

// Attach implements [mesh.Publisher]: it blocks until all objects are read and
// the proxy's first snapshot is made.
func (c *Control) Attach(p mesh.Proxy) (mesh.Feed, error) { return c.hub.Attach(p) }

// Ready reports whether all inputs were read once.
func (c *Control) Ready() bool { return c.synced.Load() }

// MeshConfig is the mesh's settings of the moment; nil before they are read.
func (c *Control) MeshConfig() *mesh.Config { return c.mesh.Load() }

// Validate checks one object by itself: an error is why it cannot be in force.
func (c *Control) Validate(obj *unstructured.Unstructured) (warnings []string, err error) {
	var refusals []string
	for _, p := range config.Validate(obj) {
		text := p.Field + ": " + p.Message
		if p.Severity == mesh.Error {
			refusals = append(refusals, text)
		} else {
			warnings = append(warnings, text)
		}
	}
	if len(refusals) > 0 {
		return warnings, errors.New(strings.Join(refusals, "; "))
	}
	return warnings, nil
}
