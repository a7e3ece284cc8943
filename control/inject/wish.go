package inject

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// wish is what a pod's annotations ask for.
type wish struct {
	gateway bool
	native  bool // run the proxy as a native sidecar
	image   string
	mode    string // REDIRECT or NONE
	proxy   *meshconfig.ProxyConfig

	logLevel, agentLogLevel, componentLogLevel string

	requests, limits corev1.ResourceList
	bindLowPorts     bool
	rewriteProbes    bool

	readiness  readiness
	statusPort int32 // 0 is no probe

	volumes map[string]corev1.VolumeSource
	mounts  map[string]corev1.VolumeMount

	// redirect's arguments
	includeOutboundIPs, excludeOutboundIPs     string
	includeInboundPorts, excludeInboundPorts   string
	includeOutboundPorts, excludeOutboundPorts string
	excludeInterfaces, virtualInterfaces       string

	warnings []string
}

// readiness are the readiness probe's times, in seconds.
type readiness struct{ delay, period, failures int32 }

// redirects reports whether the pod's traffic is redirected to the proxy.
func (w wish) redirects() bool { return !w.gateway && w.mode != "NONE" }

// refused are annotations whose effect would be missed, with what to do instead.
var refused = map[string]string{
	"sidecar.istio.io/bootstrapOverride": "a custom bootstrap is not supported: set proxy.istio.io/config, or run `lateen-proxy static` with a bootstrap of your own",
	"proxy.istio.io/overrides":           "it is internal to Istio's injector: declare a container named istio-proxy instead",
}

// idle are annotations that have no effect here, with the reason.
var idle = map[string]string{
	"readiness.status.sidecar.istio.io/applicationPorts": "the proxy is ready when its configuration is",
	"sidecar.istio.io/statsHistogramBuckets":             "histograms have Istio's buckets",
	"sidecar.istio.io/statsCompression":                  "scrapes are compressed when the scraper accepts it",
	"sidecar.istio.io/extraStatTags":                     "use the Telemetry API's tagOverrides",
	"sidecar.istio.io/proxyImageType":                    "there is one kind of proxy image",
}

const (
	trafficPrefix = "traffic.sidecar.istio.io/"
	sidecarPrefix = "sidecar.istio.io/"
)

// wishes reads a pod's annotations. What cannot be granted is an error that
// names the annotation.
func wishes(pod *corev1.Pod, s Settings) (wish, error) {
	a := pod.Annotations
	for _, key := range sortedKeys(refused) {
		if a[key] != "" {
			return wish{}, fmt.Errorf("annotation %s: %s", key, refused[key])
		}
	}
	w := wish{
		image: firstOf(a[sidecarPrefix+"proxyImage"], s.Image), rewriteProbes: a[sidecarPrefix+"rewriteAppHTTPProbers"] != "false",
		logLevel:      firstOf(a[sidecarPrefix+"logLevel"], s.LogLevel),
		agentLogLevel: a[sidecarPrefix+"agentLogLevel"], componentLogLevel: a[sidecarPrefix+"componentLogLevel"],
		native: a[sidecarPrefix+"nativeSidecar"] == "true", bindLowPorts: a[sidecarPrefix+"capNetBindService"] == "true",
		includeOutboundIPs: optional(a, "includeOutboundIPRanges", "*"), excludeOutboundIPs: a[trafficPrefix+"excludeOutboundIPRanges"],
		includeInboundPorts: optional(a, "includeInboundPorts", "*"), excludeInboundPorts: a[trafficPrefix+"excludeInboundPorts"],
		includeOutboundPorts: a[trafficPrefix+"includeOutboundPorts"], excludeOutboundPorts: a[trafficPrefix+"excludeOutboundPorts"],
		excludeInterfaces: a[trafficPrefix+"excludeInterfaces"],
		virtualInterfaces: firstOf(a["istio.io/reroute-virtual-interfaces"], a[trafficPrefix+"kubevirtInterfaces"]),
	}
	for _, key := range sortedKeys(idle) {
		if a[key] != "" {
			w.warnings = append(w.warnings, fmt.Sprintf("annotation %s has no effect: %s", key, idle[key]))
		}
	}
	for _, read := range []func(map[string]string, Settings) error{
		w.readTemplates, w.readMode, w.readProxyConfig, w.readResources, w.readReadiness, w.readVolumes,
	} {
		if err := read(a, s); err != nil {
			return wish{}, err
		}
	}
	return w, nil
}

func optional(a map[string]string, key, otherwise string) string {
	if v, ok := a[trafficPrefix+key]; ok {
		return v
	}
	return otherwise
}

func (w *wish) readTemplates(a map[string]string, _ Settings) error {
	for _, t := range strings.Split(firstOf(a[templatesKey], sidecarTemplate), ",") {
		switch strings.TrimSpace(t) {
		case sidecarTemplate:
		case gatewayTemplate:
			w.gateway = true
		default:
			return fmt.Errorf("annotation %s: template %q is not there: want sidecar or gateway", templatesKey, t)
		}
	}
	return nil
}

func (w *wish) readMode(a map[string]string, _ Settings) error {
	w.mode = firstOf(a[sidecarPrefix+"interceptionMode"], "REDIRECT")
	if w.mode != "REDIRECT" && w.mode != "NONE" {
		return fmt.Errorf("annotation %sinterceptionMode: mode %s is not supported: want REDIRECT or NONE", sidecarPrefix, w.mode)
	}
	return nil
}

// readProxyConfig merges the pod's proxy.istio.io/config over the mesh's.
func (w *wish) readProxyConfig(a map[string]string, s Settings) error {
	w.proxy = &meshconfig.ProxyConfig{}
	if s.Proxy != nil {
		proto.Merge(w.proxy, s.Proxy)
	}
	if text := a["proxy.istio.io/config"]; text != "" {
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return fmt.Errorf("annotation proxy.istio.io/config: %w", err)
		}
		own := &meshconfig.ProxyConfig{}
		if err := protojson.Unmarshal(asJSON, own); err != nil {
			return fmt.Errorf("annotation proxy.istio.io/config: %w", err)
		}
		proto.Merge(w.proxy, own)
	}
	if v := a[sidecarPrefix+"discoveryAddress"]; v != "" {
		w.proxy.DiscoveryAddress = v
	}
	if w.proxy.GetHoldApplicationUntilProxyStarts().GetValue() && !w.native {
		w.warnings = append(w.warnings, "holdApplicationUntilProxyStarts has no effect: set annotation "+sidecarPrefix+"nativeSidecar: \"true\", which starts the proxy first")
	}
	return nil
}

// readResources takes the pod's wishes as they are, or the defaults when it
// has none: Burstable, so that idle sidecars are cheap to schedule.
func (w *wish) readResources(a map[string]string, _ Settings) error {
	w.requests, w.limits = corev1.ResourceList{}, corev1.ResourceList{}
	wished := false
	for _, want := range []struct {
		key  string
		list corev1.ResourceList
		name corev1.ResourceName
	}{
		{"proxyCPU", w.requests, corev1.ResourceCPU}, {"proxyMemory", w.requests, corev1.ResourceMemory},
		{"proxyCPULimit", w.limits, corev1.ResourceCPU}, {"proxyMemoryLimit", w.limits, corev1.ResourceMemory},
	} {
		text := a[sidecarPrefix+want.key]
		if text == "" {
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return fmt.Errorf("annotation %s%s: %q: %w", sidecarPrefix, want.key, text, err)
		}
		want.list[want.name], wished = q, true
	}
	if !wished {
		w.requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("40Mi")}
		w.limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi")}
	}
	return nil
}

func (w *wish) readReadiness(a map[string]string, _ Settings) error {
	w.readiness, w.statusPort = readiness{period: 15, failures: 4}, 15021
	for key, field := range map[string]*int32{
		"readiness.status.sidecar.istio.io/initialDelaySeconds": &w.readiness.delay,
		"readiness.status.sidecar.istio.io/periodSeconds":       &w.readiness.period,
		"readiness.status.sidecar.istio.io/failureThreshold":    &w.readiness.failures,
		"status.sidecar.istio.io/port":                          &w.statusPort,
	} {
		text := a[key]
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("annotation %s: %q is not a number", key, text)
		}
		*field = int32(n)
	}
	if w.statusPort != 0 && w.statusPort != 15021 && w.statusPort != 15020 {
		return fmt.Errorf("annotation status.sidecar.istio.io/port: %d: the status port is 15021; only 0, for no probe, is different", w.statusPort)
	}
	return nil
}

func (w *wish) readVolumes(a map[string]string, _ Settings) error {
	for key, into := range map[string]any{"userVolume": &w.volumes, "userVolumeMount": &w.mounts} {
		if text := a[sidecarPrefix+key]; text != "" {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return fmt.Errorf("annotation %s%s: %w", sidecarPrefix, key, err)
			}
		}
	}
	return nil
}
