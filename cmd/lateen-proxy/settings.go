package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	Discovery                      string // the control plane's address
	Plain                          bool   // xDS without TLS
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

	LogLevel string
}

// readSettings reads flags, the environment and the pod's files.
func readSettings(gateway bool, args []string, env func(string) (string, bool), environ []string) (settings, error) {
	get := func(key, otherwise string) string {
		if v, ok := env(key); ok && v != "" {
			return v
		}
		return otherwise
	}
	s := settings{
		Gateway: gateway, Root: get("LATEEN_ROOT", ""), Pod: get("POD_NAME", ""), Namespace: get("POD_NAMESPACE", "default"),
		ServiceAccount: get("SERVICE_ACCOUNT", "default"), TrustDomain: get("TRUST_DOMAIN", "cluster.local"),
		Discovery: get("CA_ADDR", "istiod.istio-system.svc:15012"), Workload: get("ISTIO_META_WORKLOAD_NAME", ""),
		Owner: get("ISTIO_META_OWNER", ""), Explicit: get("LATEEN_EXPLICIT", "") == "1", RSA: strings.EqualFold(get("KEY_TYPE", ""), "RSA"),
		Metadata: metadata(environ),
	}
	flags := flag.NewFlagSet("lateen-proxy", flag.ContinueOnError)
	flags.StringVar(&s.Root, "root", s.Root, "directory under which absolute paths are found (env LATEEN_ROOT)")
	flags.StringVar(&s.Domain, "domain", "", "DNS domain of the pod's services")
	flags.StringVar(&s.LogLevel, "proxyLogLevel", "warning", "debug, info, warning or error")
	for _, name := range []string{"proxyComponentLogLevel", "log_output_level"} {
		flags.String(name, "", "taken for compatibility: one level, --proxyLogLevel, rules all")
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s.Domain = strings.ReplaceAll(s.Domain, "$(POD_NAMESPACE)", s.Namespace)
	if s.Domain == "" {
		s.Domain = s.Namespace + ".svc.cluster.local"
	}
	for _, read := range []func(func(string, string) string) error{s.readAddress, s.readRedirect, s.readApp, s.readProxyConfig, s.readPod} {
		if err := read(get); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *settings) readAddress(get func(string, string) string) (err error) {
	if s.Pod == "" {
		return fmt.Errorf("POD_NAME is not set: a sidecar runs in a pod; for an Envoy file use `lateen-proxy static -c FILE`")
	}
	if s.IP, err = netip.ParseAddr(get("INSTANCE_IP", "")); err != nil {
		return fmt.Errorf("INSTANCE_IP: %w", err)
	}
	return nil
}

func (s *settings) readRedirect(get func(string, string) string) (err error) {
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

func (s *settings) readApp(get func(string, string) string) (err error) {
	if s.Probers, err = probe.ParseProbers(get("ISTIO_KUBE_APP_PROBERS", "")); err != nil {
		return err
	}
	s.Scrape, err = probe.ParseScrape(get("ISTIO_PROMETHEUS_ANNOTATIONS", ""))
	return err
}

// readProxyConfig takes what concerns the agent from PROXY_CONFIG.
func (s *settings) readProxyConfig(get func(string, string) string) error {
	var config struct {
		DiscoveryAddress string `json:"discoveryAddress"`
	}
	if err := json.Unmarshal([]byte(get("PROXY_CONFIG", "{}")), &config); err != nil {
		return fmt.Errorf("PROXY_CONFIG: %w", err)
	}
	if config.DiscoveryAddress != "" {
		s.Discovery = config.DiscoveryAddress
	}
	return nil
}

// readPod reads the downward API's files. Without them the pod has no labels.
func (s *settings) readPod(func(string, string) string) error {
	var err error
	if s.Labels, err = podFile(s.path("/etc/istio/pod/labels")); err != nil {
		return err
	}
	s.Annotations, err = podFile(s.path("/etc/istio/pod/annotations"))
	return err
}

// path is an absolute path below the root.
func (s settings) path(p string) string { return filepath.Join("/", s.Root, p) }

// podFile reads lines of key="value", where the value is a quoted string.
func podFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod's labels: %w", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, quoted, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("read %s: line %q: %w", path, line, err)
		}
		out[key] = value
	}
	return out, nil
}

// metadata are the environment's ISTIO_META_ variables; a value that is JSON is
// read as such.
func metadata(environ []string) map[string]any {
	out := map[string]any{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		key, ok := strings.CutPrefix(name, "ISTIO_META_")
		if !ok {
			continue
		}
		var decoded any
		if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
			if json.Unmarshal([]byte(value), &decoded) == nil {
				out[key] = decoded
				continue
			}
		}
		out[key] = value
	}
	return out
}

// level is the log level of Envoy's word for it.
func level(word string) (slog.Level, error) {
	switch word {
	case "trace", "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "", "warning", "warn":
		return slog.LevelWarn, nil
	case "error", "critical", "off":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is not known: want debug, info, warning or error", word)
}
