// Package apiserver is an embedded Kubernetes-compatible API: storage, watches,
// patches, tables, discovery, custom resources. kubectl, client-go and
// controllers work on it as on a cluster. It knows nothing of the mesh: kinds and
// hooks are handed to it. On one machine it is where a config change begins its
// journey; in tests it is the cluster.
//
// What belongs to other programs in a cluster belongs to them here as well:
// controllers fill status, collect orphans and make pods; a kubelet runs them.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateenmesh/lateen/apiserver/kind"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// Server is the API. Make it with [New]; its handler works from then on, and
// [Server.Run] adds the listener and the upkeep of the journal.
type Server struct {
	cfg   Config
	log   *slog.Logger
	store *store.Store
	keys  *keys

	catalog   atomic.Pointer[catalog] // immutable, swapped when a CRD changes
	catalogMu sync.Mutex              // one swap at a time
	allotMu   sync.Mutex              // one writer of services at a time: see allot

	stop    context.Context // ends long-lived requests
	cancel  context.CancelFunc
	address atomic.Pointer[string] // host:port once Run listens
	started chan struct{}          // closed when address is set
}

// forgetful resources change too often and too trivially to keep their history.
var forgetful = []schema.GroupResource{
	{Resource: "events"}, {Group: "coordination.k8s.io", Resource: "leases"}, {Resource: "endpoints"},
	{Group: "discovery.k8s.io", Resource: "endpointslices"}, {Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
}

// New opens the journal in cfg.Dir, if that is set, and prepares the API on it.
// It starts nothing. [Server.Close] releases the journal when Run is not used.
func New(cfg Config) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.NodePorts == [2]int32{} {
		cfg.NodePorts = [2]int32{30000, 32767}
	}
	if cfg.BookmarkInterval == 0 {
		cfg.BookmarkInterval = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	path := ""
	if cfg.Dir != "" {
		path = filepath.Join(cfg.Dir, "api.db")
	}
	st, err := store.Open(store.Config{Path: path, Window: cfg.WatchWindow, History: cfg.History, Forget: forgetful})
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, store: st, started: make(chan struct{})}
	s.stop, s.cancel = context.WithCancel(context.Background())
	if err := s.prepare(); err != nil {
		st.Close()
		return nil, fmt.Errorf("prepare api: %w", err)
	}
	return s, nil
}

// prepare loads the keys, and stores and serves what exists from the start.
func (s *Server) prepare() error {
	var err error
	if s.keys, err = loadKeys(s.store, s.cfg.Names); err != nil {
		return err
	}
	s.catalog.Store(newCatalog(kind.Builtin()))
	if err := s.installCRDs(); err != nil {
		return err
	}
	return s.installObjects()
}

// Run serves HTTPS and keeps the journal until ctx is done, then ends all
// watches, waits for requests in flight, and closes the journal.
func (s *Server) Run(ctx context.Context) error {
	return errors.Join(s.run(ctx), s.Close())
}

func (s *Server) run(ctx context.Context) error {
	listener, config, err := s.listen()
	if err != nil {
		return err
	}
	if err := s.announce(); err != nil {
		listener.Close()
		return err
	}
	close(s.started)
	server := &http.Server{
		Handler: s.Handler(), TLSConfig: config, ReadHeaderTimeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve api: %w", err)
		}
		return nil
	})
	group.Go(func() error { return s.store.Run(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		s.cancel()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		if err := server.Shutdown(grace); err != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// Close ends all watches and closes the journal. Run does so by itself.
func (s *Server) Close() error {
	s.cancel()
	return s.store.Close()
}

// Started is closed when Run accepts connections: [Server.Address] and
// [Server.Kubeconfig] work from then on.
func (s *Server) Started() <-chan struct{} { return s.started }

// Address is the host:port that Run listens on, "" before.
func (s *Server) Address() string {
	if a := s.address.Load(); a != nil {
		return *a
	}
	return ""
}

// History lists the kept revisions of an object, oldest first, the deleted ones
// included: those that changed what a user says, not those of its status.
// Namespace is "" for kinds without.
func (s *Server) History(gvr schema.GroupVersionResource, namespace, name string) []store.Revision {
	return s.store.History(store.Key{Resource: gvr.GroupResource(), Namespace: namespace, Name: name})
}
