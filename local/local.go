// Package local is the one-machine home of the mesh: the embedded API, the small
// controllers, pods as processes, and the network between them. It starts
// anywhere, needs no privileges, and leaves nothing behind but its folder.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lateenmesh/lateen/apiserver"
	"github.com/lateenmesh/lateen/cli"
	"github.com/lateenmesh/lateen/internal/istiocrd"
	"github.com/lateenmesh/lateen/local/controller"
	"github.com/lateenmesh/lateen/local/dns"
	"github.com/lateenmesh/lateen/local/kubelet"
	"github.com/lateenmesh/lateen/local/nodeproxy"
)

// Local is a mesh's home on this machine.
type Local struct {
	cfg      cli.HomeConfig
	log      *slog.Logger
	network  *network
	api      *apiserver.Server
	kubelet  *kubelet.Kubelet
	services *nodeproxy.Services
	proxy    *nodeproxy.Proxy
	rest     *rest.Config
	ready    chan struct{}
}

// New claims a block of addresses and opens the API on the folder's journal. It
// starts nothing.
func New(cfg cli.HomeConfig) (*Local, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", cfg.LogLevel)
	}
	l := &Local{cfg: cfg, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), ready: make(chan struct{})}
	var err error
	// Containers have working directories of their own.
	if l.cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	cfg.Dir = l.cfg.Dir
	if l.network, err = claimFor(cfg.Dir, cfg.Network); err != nil {
		return nil, err
	}
	images, err := readImages(cfg.Images)
	if err != nil {
		return nil, err
	}
	// The kubelet answers the API's questions about containers, and asks the API:
	// it gets its client once there is one.
	containers := &later{}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "api"), 0o700); err != nil {
		return nil, err
	}
	l.api, err = apiserver.New(apiserver.Config{
		Dir: filepath.Join(cfg.Dir, "api"), CRDs: istiocrd.All(), ServiceCIDR: l.network.services, NodePortStart: l.network.nodePorts(), Names: []string{l.network.node.String()},
		Listen: netip.AddrPortFrom(l.network.node, apiPort).String(), Admission: admission(l, l.log), Containers: containers, NodePortFree: mayBind, Log: l.log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the API in %s: %w", cfg.Dir, err)
	}
	l.rest = l.api.RESTConfig()
	l.rest.QPS, l.rest.Burst = -1, -1
	return l, l.build(images, containers)
}

const (
	apiPort   = 6443
	dnsPort   = 5353
	mixedPort = 15080
	// lowShift is added to ports below 1024 where those may not be bound.
	lowShift = 61000
)

func (l *Local) build(images images, containers *later) error {
	kube, err := kubernetes.NewForConfig(l.rest)
	if err != nil {
		return err
	}
	nameserver, mixed := netip.AddrPortFrom(l.network.node, dnsPort), netip.AddrPortFrom(l.network.node, mixedPort)
	l.proxy = nodeproxy.New(nodeproxy.Config{LowPorts: l.network.lowPorts, Mixed: mixed, Log: l.log, Resolve: l.resolve(kube)})
	l.services = nodeproxy.NewServices(kube, l.proxy)
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	l.kubelet = kubelet.New(kubelet.Config{
		Kube: kube, Node: strings.ToLower(host), Dir: filepath.Join(l.cfg.Dir, "pods"), Pods: l.network.pods, Program: images.program,
		API: netip.AddrPortFrom(l.network.node, apiPort), CA: l.api.CA(), Nameserver: nameserver, Mixed: mixed, LowPorts: l.network.lowPorts, Log: l.log,
	})
	containers.Kubelet = l.kubelet
	return nil
}

// later is the kubelet, once there is one.
type later struct{ *kubelet.Kubelet }

var _ apiserver.Containers = (*later)(nil)

// resolve finds what a pod without a sidecar means by a name: its own
// namespace's Service first.
func (l *Local) resolve(kube kubernetes.Interface) func(context.Context, netip.Addr, string) (netip.Addr, error) {
	return func(ctx context.Context, from netip.Addr, name string) (netip.Addr, error) {
		namespace := metav1.NamespaceDefault
		pods, err := kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		if err == nil {
			for i := range pods.Items {
				if pods.Items[i].Status.PodIP == from.String() {
					namespace = pods.Items[i].Namespace
				}
			}
		}
		if a, ok := l.services.Resolve(namespace, name); ok {
			return a, nil
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
		if err != nil {
			return netip.Addr{}, err
		}
		return found[0].Unmap(), nil
	}
}

// Started is closed when the API answers and the kubeconfig is written.
func (l *Local) Started() <-chan struct{} { return l.ready }

// RESTConfig reaches the API.
func (l *Local) RESTConfig() *rest.Config { return l.rest }

// Run runs everything until ctx ends: then the pods get their SIGTERM while the
// API still answers, and the API stops last.
func (l *Local) Run(ctx context.Context) error {
	defer l.network.release()
	api, stopAPI := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAPI()
	var outer errgroup.Group
	outer.Go(func() error {
		defer stopAPI() // no home without its API
		return l.api.Run(api)
	})
	outer.Go(func() error {
		defer stopAPI()
		select {
		case <-l.api.Started():
		case <-api.Done():
			return nil
		}
		kube, err := kubernetes.NewForConfig(l.rest)
		if err != nil {
			return err
		}
		if err := unready(ctx, kube); err != nil {
			return err
		}
		if err := l.writeKubeconfig(); err != nil {
			return err
		}
		close(l.ready)
		pods, stopPods := context.WithCancel(ctx)
		defer stopPods()
		defer context.AfterFunc(api, stopPods)()
		return l.runPods(pods)
	})
	return outer.Wait()
}

func (l *Local) runPods(ctx context.Context) error {
	// The network outlives the pods' end.
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	network, below := errgroup.WithContext(below)
	network.Go(func() error { return l.services.Run(below) })
	network.Go(func() error { return l.proxy.Run(below) })
	network.Go(func() error {
		return dns.New(dns.Config{Listen: netip.AddrPortFrom(l.network.node, dnsPort), Service: l.services.Addresses, Log: l.log}).Run(below)
	})
	// Without a network the pods are of no use.
	ctx, stopPods := context.WithCancel(ctx)
	defer stopPods()
	defer context.AfterFunc(below, stopPods)()
	kube, err := kubernetes.NewForConfig(l.rest)
	if err != nil {
		return err
	}
	dyn, err := dynamic.NewForConfig(l.rest)
	if err != nil {
		return err
	}
	controllers := controller.New(controller.Config{Kube: kube, Dynamic: dyn, CA: l.api.CA(), Log: l.log})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return controllers.Run(ctx) })
	group.Go(func() error { return l.kubelet.Run(ctx) })
	err = group.Wait()
	stop()
	return errors.Join(err, network.Wait())
}

func (l *Local) writeKubeconfig() error {
	text, err := l.api.Kubeconfig()
	if err != nil {
		return err
	}
	path := filepath.Join(l.cfg.Dir, "kubeconfig")
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// network is the block of loopback addresses of one home.
type network struct {
	block          netip.Prefix
	pods, services netip.Prefix
	node           netip.Addr
	lowPorts       uint16
	lock           net.Listener
}

// Blocks lie between these second bytes: below are addresses that systems use
// themselves.
const firstBlock, lastBlock = 64, 126

// claim takes a block that no other home on this machine has. A held socket is
// the claim: it falls with the process.
func claim(wanted string) (*network, error) {
	if wanted != "" {
		prefix, err := netip.ParsePrefix(wanted)
		if err != nil || prefix.Bits() != 16 || !prefix.Addr().Is4() || prefix.Addr().As4()[0] != 127 || prefix.Addr().As4()[1] == 0 {
			return nil, fmt.Errorf("network %q: want a block of loopback addresses such as 127.64.0.0/16", wanted)
		}
		n, err := claimBlock(prefix.Addr().As4()[1])
		if err != nil {
			return nil, fmt.Errorf("network %s is taken: another mesh runs there, or give another block: %w", wanted, err)
		}
		return n, nil
	}
	for n := byte(firstBlock); n <= lastBlock; n++ {
		if network, err := claimBlock(n); err == nil {
			return network, nil
		}
	}
	return nil, fmt.Errorf("no block of loopback addresses between 127.%d.0.0/16 and 127.%d.0.0/16 is free", firstBlock, lastBlock)
}

func claimBlock(n byte) (*network, error) {
	lock, err := net.Listen("tcp", net.JoinHostPort(netip.AddrFrom4([4]byte{127, n, 255, 254}).String(), "15999"))
	if err != nil {
		return nil, err
	}
	block := &network{
		block:    netip.PrefixFrom(netip.AddrFrom4([4]byte{127, n, 0, 0}), 16),
		pods:     netip.PrefixFrom(netip.AddrFrom4([4]byte{127, n, 0, 0}), 17),
		services: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, n, 128, 0}), 18),
		node:     netip.AddrFrom4([4]byte{127, n, 255, 253}),
		lock:     lock,
	}
	if !mayBindLow(block.node) {
		block.lowPorts = lowShift
	}
	return block, nil
}

// mayBind reports whether nobody listens on a port of this machine.
func mayBind(port int32) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func mayBindLow(a netip.Addr) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(a.String(), strconv.Itoa(80)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func (n *network) release() { n.lock.Close() }
