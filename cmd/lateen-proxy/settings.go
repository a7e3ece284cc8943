package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/agent/probe"
	"github.com/lateenmesh/lateen/agent/redirect"
)

// settings are all that a sidecar or gateway is told, read once.
type settings struct {
	Gateway bool
	Root    string // prefix of absolute paths

	Pod, Namespace, ServiceAccount string
	IP                             netip.Addr
	Domain                         string // NAMESPACE.svc.cluster.local
	TrustDomain                    string
	Discovery                      string // the control plane's address for xDS; port 15010 is plain text
	Authority                      string // who signs certificates
	Workload, Owner                string
	Metadata                       map[string]any
	Labels, Annotations            map[string]string

	Explicit   bool
	Apps       map[uint16]uint16
	LowPorts   uint16
	Nameserver netip.AddrPort

	Probers map[string]probe.Prober
	Scrape  *probe.Scrape
	RSA     bool

	// AdminPort and StatusPort are 15000 and 15020 unless ProxyConfig says
	// otherwise.
	AdminPort, StatusPort uint16
	Concurrency           int // 0: as the machine or its CPU limit allows
	Drain                 drain
	LogLevel              string
	Stats                 inclusion
	// Ignored are settings that were given and have no effect here.
	Ignored []string
}

// drain says how the process ends.
type drain struct {
	// Time is how long a proxy that was told to end still serves.
	Time time.Duration
	// UntilIdle waits, after Least, until the last connection has gone.
	UntilIdle bool
	Least     time.Duration
}

// String is what is printed when the process starts.
func (s settings) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// environment gives a variable's value, or what to take when it is not set.
type environment func(key, otherwise string) string

// readSettings reads flags, the environment and the pod's files. A flag wins
// over PROXY_CONFIG, which wins over the default.
func readSettings(gateway bool, args []string, env func(string) (string, bool), environ []string) (settings, error) {
	var extra map[string]string // ProxyConfig's proxyMetadata stands for variables
	get := func(key, otherwise string) string {
		v, _ := env(key)
		return cmp.Or(v, extra[key], otherwise)
	}
	s := settings{Gateway: gateway, Root: get("LATEEN_ROOT", ""), Metadata: metadata(environ)}
	config, err := readProxyConfig(get("PROXY_CONFIG", "{}"))
	if err != nil {
		return s, fmt.Errorf("PROXY_CONFIG: %w", err)
	}
	extra = config.ProxyMetadata
	s.Ignored = config.ignored()
	for key, value := range extra {
		if name, ok := strings.CutPrefix(key, metadataPrefix); ok {
			s.Metadata[name] = decoded(value)
		}
	}
	s.take(config, get)
	if err := s.readFlags(args); err != nil {
		return s, err
	}
	for _, read := range []func(environment) error{s.readPodName, s.readRedirect, s.readApp, s.readDrain, s.readPod} {
		if err := read(get); err != nil {
			return s, err
		}
	}
	return s, nil
}

// take sets what the environment and ProxyConfig say.
func (s *settings) take(config proxyConfig, get environment) {
	s.Pod, s.Namespace = get("POD_NAME", ""), get("POD_NAMESPACE", "default")
	s.ServiceAccount, s.TrustDomain = get("SERVICE_ACCOUNT", "default"), get("TRUST_DOMAIN", "cluster.local")
	s.Workload, s.Owner = get("ISTIO_META_WORKLOAD_NAME", ""), get("ISTIO_META_OWNER", "")
	s.Authority = get("CA_ADDR", "")
	s.Discovery = cmp.Or(config.DiscoveryAddress, s.Authority, "istiod.istio-system.svc:15012")
	s.Explicit = get("LATEEN_EXPLICIT", "") == "1"
	s.RSA = strings.EqualFold(get("KEY_TYPE", ""), "RSA")
	s.AdminPort, s.StatusPort = cmp.Or(config.ProxyAdminPort, adminPort), cmp.Or(config.StatusPort, healthPort)
	s.Concurrency, s.Stats = config.Concurrency, config.ProxyStatsMatcher
	s.Drain.Time = time.Duration(cmp.Or(config.TerminationDrainDuration, duration(5*time.Second)))
}

// taken are Istio's flags that have nothing to act on here.
var taken = map[string]string{
	"proxyComponentLogLevel": "", "log_output_level": "", "log_target": "", "log_caller": "", "log_stacktrace_level": "", "log_rotate": "",
	"log_rotate_max_age": "", "log_rotate_max_backups": "", "log_rotate_max_size": "", "stsPort": "", "tokenManagerPlugin": "", "meshConfig": "",
	"templateFile": "", "outlierLogPath": "", "serviceCluster": "", "configPath": "", "binaryPath": "", "serviceregistry": "", "zipkinAddress": "",
	"connectTimeout": "", "drainDuration": "", "parentShutdownDuration": "", "statsdUdpAddress": "", "controlPlaneAuthPolicy": "", "applicationPorts": "",
	"ctrlz_port": "", "ctrlz_address": "", "log_as_json": "bool", "vklog": "",
}

// readFlags reads Istio's flags. Each either has its effect or is noted as
// ignored.
func (s *settings) readFlags(args []string) error {
	flags := flag.NewFlagSet("lateen-proxy", flag.ContinueOnError)
	flags.StringVar(&s.Root, "root", s.Root, "directory under which absolute paths are found (env LATEEN_ROOT)")
	flags.StringVar(&s.Domain, "domain", "", "DNS domain of the pod's services")
	flags.StringVar(&s.LogLevel, "proxyLogLevel", "warning", "trace, debug, info, warning, error, critical or off")
	flags.IntVar(&s.Concurrency, "concurrency", s.Concurrency, "CPUs to use; 0 is all that the process may")
	flags.StringVar(&s.Discovery, "discoveryAddress", s.Discovery, "address of the control plane")
	flags.StringVar(&s.TrustDomain, "trust-domain", s.TrustDomain, "domain of identities")
	flags.Func("statusPort", "port for health and merged metrics", portFlag(&s.StatusPort))
	flags.Func("proxyAdminPort", "port of the admin API", portFlag(&s.AdminPort))
	for name, kind := range taken {
		if kind == "bool" {
			flags.Bool(name, false, "taken for compatibility, without effect")
		} else {
			flags.String(name, "", "taken for compatibility, without effect")
		}
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		if _, without := taken[f.Name]; without {
			s.Ignored = append(s.Ignored, "--"+f.Name)
		}
	})
	s.Authority = cmp.Or(s.Authority, authorityAt(s.Discovery))
	s.Domain = strings.ReplaceAll(s.Domain, "$(POD_NAMESPACE)", s.Namespace)
	s.Domain = cmp.Or(s.Domain, s.Namespace+".svc.cluster.local")
	_, err := level(s.LogLevel)
	return err
}

// authorityAt is where a control plane signs: never in plain text.
func authorityAt(discovery string) string {
	if host, ok := strings.CutSuffix(discovery, ":15010"); ok {
		return host + ":15012"
	}
	return discovery
}

func portFlag(to *uint16) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 10, 16)
		*to = uint16(n)
		return err
	}
}

func (s *settings) readPodName(get environment) (err error) {
	if s.Pod == "" {
		return fmt.Errorf("POD_NAME is not set: a sidecar runs in a pod; for an Envoy file use `lateen-proxy static -c FILE`")
	}
	if s.IP, err = netip.ParseAddr(get("INSTANCE_IP", "")); err != nil {
		return fmt.Errorf("INSTANCE_IP: %w", err)
	}
	return nil
}

func (s *settings) readRedirect(get environment) (err error) {
	if s.Apps, err = redirect.ParsePorts(get("LATEEN_APP_PORTS", "")); err != nil {
		return fmt.Errorf("LATEEN_APP_PORTS: %w", err)
	}
	low, err := strconv.ParseUint(get("LATEEN_LOW_PORTS", "0"), 10, 16)
	if err != nil || low > 65535-1024 {
		return fmt.Errorf("LATEEN_LOW_PORTS: %q is no port below 64512", get("LATEEN_LOW_PORTS", ""))
	}
	s.LowPorts = uint16(low)
	if text := get("LATEEN_NAMESERVER", ""); text != "" {
		if s.Nameserver, err = netip.ParseAddrPort(text); err != nil {
			return fmt.Errorf("LATEEN_NAMESERVER: %w", err)
		}
	}
	return nil
}

func (s *settings) readApp(get environment) (err error) {
	if s.Probers, err = probe.ParseProbers(get("ISTIO_KUBE_APP_PROBERS", "")); err != nil {
		return err
	}
	s.Scrape, err = probe.ParseScrape(get("ISTIO_PROMETHEUS_ANNOTATIONS", ""))
	return err
}

func (s *settings) readDrain(get environment) (err error) {
	s.Drain.UntilIdle = get("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "") == "true"
	if s.Drain.Least, err = time.ParseDuration(get("MINIMUM_DRAIN_DURATION", "5s")); err != nil {
		return fmt.Errorf("MINIMUM_DRAIN_DURATION: %w", err)
	}
	if text := get("TERMINATION_DRAIN_DURATION_SECONDS", ""); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("TERMINATION_DRAIN_DURATION_SECONDS: %w", err)
		}
		s.Drain.Time = time.Duration(n) * time.Second
	}
	return nil
}

// readPod reads the downward API's files. Without them the pod has no labels.
func (s *settings) readPod(environment) error {
	var err error
	if s.Labels, err = podFile(s.path("/etc/istio/pod/labels")); err != nil {
		return err
	}
	s.Annotations, err = podFile(s.path("/etc/istio/pod/annotations"))
	return err
}

// path is an absolute path below the root.
func (s settings) path(p string) string { return filepath.Join("/", s.Root, p) }
