package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/internal/protoerr"
)

// Validate finds what is wrong with one object by itself: what it refers to may
// come later. It serves the webhook, the pipeline and the command line alike.
// Objects of kinds that the mesh does not know are fine.
func Validate(obj *unstructured.Unstructured) []mesh.Problem {
	c := &check{object: metaOf(obj)}
	switch group, _, _ := strings.Cut(obj.GetAPIVersion(), "/"); group {
	case "networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io":
	default:
		return nil
	}
	if why, ok := unenforced[c.object.Kind]; ok {
		c.errorf("spec", "%s is not enforced yet: %s", c.object.Kind, why)
		return c.problems
	}
	if instead, ok := idle[c.object.Kind]; ok {
		c.warnf("spec", "%s has no effect yet: %s", c.object.Kind, instead)
		return c.problems
	}
	switch c.object.Kind {
	case "VirtualService":
		checkSpec(c, obj, &networking.VirtualService{}, c.virtualService)
	case "DestinationRule":
		checkSpec(c, obj, &networking.DestinationRule{}, c.destinationRule)
	case "Gateway":
		checkSpec(c, obj, &networking.Gateway{}, c.gateway)
	case "ServiceEntry":
		checkSpec(c, obj, &networking.ServiceEntry{}, c.serviceEntry)
	case "PeerAuthentication":
		checkSpec(c, obj, &security.PeerAuthentication{}, c.peerAuthentication)
	}
	slices.SortStableFunc(c.problems, func(a, b mesh.Problem) int { return strings.Compare(a.Field, b.Field) })
	return c.problems
}

// unenforced are kinds whose users would believe themselves protected.
var unenforced = map[string]string{
	"AuthorizationPolicy":   "nothing would be denied. Limit who may connect by PeerAuthentication mode STRICT meanwhile",
	"RequestAuthentication": "tokens would not be checked. Check them in the application meanwhile",
}

// idle are kinds that change nothing yet, and what to do instead.
var idle = map[string]string{
	"Sidecar":          "every proxy sees all that is exported to its namespace; narrow it with exportTo",
	"EnvoyFilter":      "use the fields of VirtualService and DestinationRule",
	"WasmPlugin":       "proxies run no WebAssembly",
	"TrafficExtension": "proxies run no extensions",
	"Telemetry":        "set accessLogFile in the ConfigMap istio; metrics have Istio's default labels",
	"ProxyConfig":      "set annotation proxy.istio.io/config on the pods",
	"WorkloadGroup":    "list the endpoints in the ServiceEntry",
}

// check collects the problems of one object.
type check struct {
	object   mesh.Meta
	problems []mesh.Problem
}

func (c *check) errorf(field, format string, args ...any) {
	c.problems = append(c.problems, mesh.Problem{Object: c.object, Severity: mesh.Error, Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *check) warnf(field, format string, args ...any) {
	c.problems = append(c.problems, mesh.Problem{Object: c.object, Severity: mesh.Warning, Field: field, Message: fmt.Sprintf(format, args...)})
}

// checkSpec reads the object's spec strictly and has it checked.
func checkSpec[M proto.Message](c *check, obj *unstructured.Unstructured, spec M, rules func(M)) {
	fields, _, err := unstructured.NestedMap(obj.Object, "spec")
	text := []byte("{}")
	if err == nil && fields != nil {
		text, err = json.Marshal(fields)
	}
	if err == nil {
		err = protojson.Unmarshal(text, spec)
	}
	if err != nil {
		c.errorf("spec", "%s", position.ReplaceAllString(protoerr.Text(err), ""))
		return
	}
	rules(spec)
	c.unforcedFields(fields)
}

// metaOf says which object obj is.
func metaOf(obj *unstructured.Unstructured) mesh.Meta {
	return mesh.Meta{
		Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName(), Created: obj.GetCreationTimestamp().Time,
		Generation: obj.GetGeneration(), Labels: obj.GetLabels(),
	}
}

// position is where in the JSON text a mistake is, which its author never saw.
var position = regexp.MustCompile(`^\(line \d+:\d+\): `)

var label = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9])?$`)

// host checks a DNS name that may begin with a wildcard.
func (c *check) host(field, host string) {
	switch rest := strings.TrimPrefix(host, "*"); {
	case host == "":
		c.errorf(field, "a host is missing")
	case host == "*":
	case rest != host && !strings.HasPrefix(rest, "."):
		c.errorf(field, "host %q: a wildcard stands for whole labels, as in *.example.com", host)
	default:
		c.name(field, strings.TrimPrefix(rest, "."))
	}
}

// name checks a DNS name without a wildcard; an IP address is one too.
func (c *check) name(field, host string) {
	if _, err := netip.ParseAddr(host); err == nil {
		return
	}
	if host == "" || len(host) > 253 {
		c.errorf(field, "host %q is no DNS name", host)
		return
	}
	for _, l := range strings.Split(strings.TrimSuffix(host, "."), ".") {
		if !label.MatchString(l) {
			c.errorf(field, "host %q is no DNS name: %q is no label of letters, digits and -", host, l)
			return
		}
	}
}

// port checks a port number.
func (c *check) port(field string, number uint32) {
	if number == 0 || number > 65535 {
		c.errorf(field, "port %d is not between 1 and 65535", number)
	}
}

// regex checks a regular expression in RE2's syntax.
func (c *check) regex(field, text string) {
	if _, err := regexp.Compile(text); err != nil {
		c.errorf(field, "regular expression %q: %v", text, err)
	}
}

// at is the path of a list's element.
func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
