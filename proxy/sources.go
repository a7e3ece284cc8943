package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// sources are all whom the proxy asks for configuration: the aggregated control
// plane, and servers and files that resources name for themselves.
type sources struct {
	make       func(s bootstrap.Source, name, typeURL string) client
	known      func(cluster string) bool
	control    client            // the aggregated one; nil when there is none
	aggregated *bootstrap.Source // how that is asked
	all        map[asked]bool    // those that are asked for everything; it does not change

	mu      sync.Mutex // guards what follows
	located map[string]bootstrap.Source
	clients map[asked]*supplier
	run     func(*supplier) // nil before Run
}

// asked is a source that is asked for one type of resource.
type asked struct{ source, typeURL string }

// client asks a source; [ads.Client] is one.
type client interface {
	Want(typeURL string, names []string)
	Run(context.Context) error
	Status() ads.Status
}

type supplier struct {
	client
	stop context.CancelFunc // nil before it runs
}

func (p *Proxy) newSources() *sources {
	s := &sources{all: map[asked]bool{}, located: map[string]bootstrap.Source{}, clients: map[asked]*supplier{}}
	s.known = func(name string) bool {
		for _, each := range p.config.Bootstrap.Clusters { // before they are in force
			if each.GetName() == name {
				return true
			}
		}
		return p.state.Cluster(name) != nil
	}
	s.make = func(from bootstrap.Source, name, typeURL string) client {
		return ads.New(ads.Config{
			Node: p.config.Bootstrap.Node, SotW: from.SotW, REST: from.REST, File: ads.File{Path: from.File, Directory: from.Directory}, Server: p.server(&from),
			Service: typeURL, Source: name, Sink: sink{p}, Log: p.config.Log,
		})
	}
	s.aggregated = p.config.Bootstrap.ADS
	if from := s.aggregated; from != nil {
		s.control = s.make(*from, "", "")
	}
	return s
}

// locate finds who has resources, by a name that is the same for the same source.
func (s *sources) locate(at *corev3.ConfigSource, typeURL string) (string, error) {
	from, err := bootstrap.Locate(at)
	if err != nil {
		return "", err
	}
	if from == nil && s.control == nil {
		return "", fieldcheck.Refuse("ads", "the bootstrap has no ads_config to ask")
	}
	if asked := cmp.Or(from, s.aggregated); typeURL == ads.HostType && (asked.SotW || asked.REST > 0 || asked.File != "") {
		return "", fieldcheck.Refuse("", "virtual hosts are told by delta only: write DELTA_GRPC")
	}
	if from == nil {
		return "", nil
	}
	return s.add(from)
}

// add notes a source.
func (s *sources) add(from *bootstrap.Source) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := from.String()
	for n := 2; ; n++ {
		same, taken := s.located[name]
		if taken && same == *from {
			return name, nil
		}
		if !taken {
			break
		}
		name = fmt.Sprintf("%s (%d)", from, n)
	}
	if from.Cluster != "" && !s.known(from.Cluster) {
		return "", fieldcheck.Refuse("api_config_source", "there is no static cluster %q", from.Cluster)
	}
	s.located[name] = *from
	return name, nil
}

// want tells a source which names of a type are wanted.
func (s *sources) want(source, typeURL string, names []string) {
	key := asked{source, typeURL}
	if s.all[key] {
		names = append([]string{ads.Everything}, names...)
	}
	if source == "" {
		if s.control != nil {
			s.control.Want(typeURL, names)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[key]
	if len(names) == 0 {
		if c != nil && c.stop != nil {
			c.stop()
		}
		delete(s.clients, key)
		return
	}
	if c == nil {
		c = &supplier{client: s.make(s.located[source], source, typeURL)}
		s.clients[key] = c
		if s.run != nil {
			s.run(c)
		}
	}
	c.Want(typeURL, names)
}

// start keeps what is asked, and what will be, running in g until ctx ends.
func (s *sources) start(ctx context.Context, g *errgroup.Group) {
	if s.control != nil {
		g.Go(func() error { return s.control.Run(ctx) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var running sync.WaitGroup
	s.run = func(c *supplier) {
		if ctx.Err() != nil {
			return
		}
		own, stop := context.WithCancel(ctx)
		c.stop = stop
		running.Go(func() { _ = c.Run(own) }) // it only returns the context's error
	}
	for _, c := range s.clients {
		s.run(c)
	}
	g.Go(func() error {
		<-ctx.Done()
		s.mu.Lock()
		s.run = func(*supplier) {}
		s.mu.Unlock()
		running.Wait()
		return ctx.Err()
	})
}

// status tells how the conversation with the control plane goes, and beside it how
// each type of resource does from wherever it comes.
func (s *sources) status() ads.Status {
	out := ads.Status{Types: map[string]ads.TypeStatus{}}
	if s.control != nil {
		out = s.control.Status()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, c := range s.clients {
		of := c.Status()
		out.Types[key.typeURL] = out.Types[key.typeURL].With(of.Types[key.typeURL])
		if s.control == nil {
			out.Connected = out.Connected || of.Connected
		}
	}
	return out
}

// server is how a source is reached.
func (p *Proxy) server(from *bootstrap.Source) ads.Server {
	if from.Cluster != "" {
		protocol := "h2"
		if from.REST > 0 {
			protocol = "http/1.1"
		}
		return ads.Server{
			Address: from.Cluster, Authority: from.Authority, Plaintext: true, // the cluster has its own TLS
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, from.Cluster, protocol) },
		}
	}
	s := ads.Server{
		Address: from.Address, Plaintext: from.Plaintext, RootFile: from.RootFile, ServerName: from.ServerName, TokenFile: from.TokenFile, Dial: p.config.DialControl,
	}
	if from.CertFile != "" {
		s.Certificate = func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(from.CertFile, from.KeyFile)
			return &cert, err
		}
	}
	return s
}

// lookAgain is how often somebody looks whether a cluster has got endpoints.
const lookAgain = 20 * time.Millisecond

// dial opens a connection to an endpoint of a cluster; a TLS server that may choose is
// offered the protocol. While there is no endpoint it waits for one, until ctx ends.
func (p *Proxy) dial(ctx context.Context, name, protocol string) (net.Conn, error) {
	for {
		if c := p.state.Cluster(name); c != nil {
			if host := c.Pick(cluster.Choice{}); host != nil {
				return p.dialHost(ctx, c, host, protocol)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cluster %s has no endpoint: %w", name, ctx.Err())
		case <-time.After(lookAgain):
		}
	}
}

func (p *Proxy) dialHost(ctx context.Context, c *cluster.Cluster, host *cluster.Host, protocol string) (net.Conn, error) {
	to := c.Default.AcquireConnectionTo(host)
	if to == nil {
		return nil, fmt.Errorf("cluster %s may have no more connections", c.Name)
	}
	conn, err := c.Connect(ctx, to, pool.TLSRequest{Fallback: []string{protocol}})
	if err != nil {
		c.Report(host, cluster.LocalFailure, time.Now)
		return nil, err
	}
	c.Report(host, cluster.OK, time.Now)
	return &pooled{Conn: conn, pool: to}, nil
}

// pooled is a connection of a pool that is closed there.
type pooled struct {
	*pool.Conn
	pool *pool.Pool
	once sync.Once
}

// Close implements [net.Conn].
func (c *pooled) Close() error {
	c.once.Do(func() { c.pool.Close(c.Conn) })
	return nil
}
