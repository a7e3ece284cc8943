package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
)

// settings are all that can be set, read once. They print themselves at start.
type settings struct {
	Root        string `set:"root,LATEEN_ROOT" help:"directory under which absolute paths are found; empty is /"`
	Kubeconfig  string `set:"kubeconfig,KUBECONFIG" help:"kubeconfig file; empty is the pod's own service account"`
	APIHost     string `set:",KUBERNETES_SERVICE_HOST" help:"API server's address inside a cluster"`
	APIPort     string `set:",KUBERNETES_SERVICE_PORT" help:"API server's port inside a cluster"`
	Namespace   string `set:"namespace,POD_NAMESPACE" help:"namespace of the control plane" default:"istio-system"`
	PodName     string `set:",POD_NAME" help:"name of this instance" default:"istiod"`
	Revision    string `set:"revision,REVISION" help:"revision of this control plane" default:"default"`
	TrustDomain string `set:"trust-domain,TRUST_DOMAIN" help:"trust domain of identities" default:"cluster.local"`
	Domain      string `set:"domain,DOMAIN" help:"DNS domain of the cluster" default:"cluster.local"`
	KubeCluster string `set:"clusterID,CLUSTER_ID" help:"name of the cluster" default:"Kubernetes"`
	ProxyImage  string `set:"proxy-image,PROXY_IMAGE" help:"image that the injector uses" default:"docker.io/lateenmesh/proxy:dev"`

	Bind     string `set:"bind,INSTANCE_IP" help:"address to listen on; empty is all"`
	Explicit bool   `set:"explicit,LATEEN_EXPLICIT" help:"listen on --bind even without the flag: one machine, many pods"`

	XDS        string `set:"grpcAddr" help:"xDS and CSR API without TLS; empty is off" default:":15010"`
	SecureXDS  string `set:"secureGRPCAddr" help:"xDS and CSR API over TLS" default:":15012"`
	Monitoring string `set:"monitoringAddr" help:"metrics, version, readiness, debug pages" default:":15014"`
	HTTP       string `set:"httpAddr" help:"readiness and debug pages, as Istio has them a second time; empty is off" default:":8080"`
	HTTPS      string `set:"httpsAddr" help:"webhooks /inject and /validate; empty is off" default:":15017"`
	Webhooks   bool   `set:"webhooks" help:"write the webhook configurations, so that the API server calls us"`
	Status     bool   `set:"status,PILOT_ENABLE_STATUS" help:"write status onto users' objects" default:"true"`

	LogLevel string `set:"log-level,LOG_LEVEL" help:"debug, info, warn or error" default:"info"`
}

// readSettings reads flags over environment over defaults.
func readSettings(args []string, env func(string) (string, bool)) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("lateend", flag.ContinueOnError)
	fields(&s, func(f field) { f.register(flags, env) })
	if len(args) > 0 && args[0] == "discovery" {
		args = args[1:] // Istio's spelling
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	bindGiven := false
	flags.Visit(func(f *flag.Flag) { bindGiven = bindGiven || f.Name == "bind" })
	if !s.Explicit && !bindGiven {
		s.Bind = "" // INSTANCE_IP alone only says where we are
	}
	return s, s.check()
}

func (s settings) check() error {
	if s.Bind != "" {
		if _, err := netip.ParseAddr(s.Bind); err != nil {
			return fmt.Errorf("bind address: %w", err)
		}
	} else if s.Explicit {
		return errors.New("LATEEN_EXPLICIT needs an address to bind: set INSTANCE_IP or --bind")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return fmt.Errorf("log level: %w", err)
	}
	for _, addr := range []string{s.XDS, s.SecureXDS, s.Monitoring, s.HTTP, s.HTTPS} {
		if _, _, err := net.SplitHostPort(addr); err != nil && addr != "" {
			return fmt.Errorf("listening address %q: %w", addr, err)
		}
	}
	return nil
}

// listenOn puts the bind address into an address without a host.
func (s settings) listenOn(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host != "" || s.Bind == "" {
		return addr
	}
	return net.JoinHostPort(s.Bind, port)
}

// String is all settings in one line each.
func (s settings) String() string {
	var b strings.Builder
	fields(&s, func(f field) { fmt.Fprintf(&b, "%s=%v\n", f.name, f.value.Interface()) })
	return b.String()
}

// LogValue implements [slog.LogValuer].
func (s settings) LogValue() slog.Value {
	var attrs []slog.Attr
	fields(&s, func(f field) { attrs = append(attrs, slog.Any(f.name, f.value.Interface())) })
	return slog.GroupValue(attrs...)
}
