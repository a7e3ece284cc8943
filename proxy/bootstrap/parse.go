package bootstrap

import (
	"fmt"
	"os"
	"strings"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/envoyjson"
	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/socket/fromenvoy"
)

// Load reads an Envoy bootstrap file, YAML or JSON.
func Load(file string) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read bootstrap: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read bootstrap %s: %w", file, err)
	}
	return c, nil
}

// Parse reads an Envoy bootstrap, YAML or JSON. A field that does not exist or is
// not supported is an error that names it. Spellings of Envoy's v2 API are read
// as what they are called today, and noted.
func Parse(text []byte) (*Config, error) {
	b := &bootstrapv3.Bootstrap{}
	problem := envoyjson.Unmarshal(text, b)
	if problem == nil {
		return From(b)
	}
	// The spellings of the v2 API are unknown fields and messages today.
	tree, err := envoyjson.Tree(text)
	if err != nil {
		return nil, err
	}
	var u upgrade
	if u.walk(tree, ""); len(u.notes) == 0 {
		return nil, problem
	}
	b = &bootstrapv3.Bootstrap{}
	if err := envoyjson.UnmarshalTree(tree, b); err != nil {
		return nil, err
	}
	c, err := From(b)
	if err != nil {
		return nil, err
	}
	c.Notes = u.notes
	return c, nil
}

// From takes a bootstrap message.
func From(b *bootstrapv3.Bootstrap) (*Config, error) {
	if err := fields.Check(b); err != nil {
		return nil, err
	}
	c := &Config{
		Node:      b.GetNode(),
		Listeners: b.GetStaticResources().GetListeners(),
		Clusters:  b.GetStaticResources().GetClusters(),
		Secrets:   b.GetStaticResources().GetSecrets(),
		Source:    b,

		LocalCluster: b.GetClusterManager().GetLocalClusterName(),
	}
	if c.Node == nil {
		c.Node = &corev3.Node{}
	}
	var err error
	if a := b.GetAdmin().GetAddress(); a != nil {
		if c.Admin, err = fromenvoy.Address(a); err != nil {
			return nil, fieldcheck.At("admin.address", err)
		}
	}
	if err := c.controlPlane(b); err != nil {
		return nil, fieldcheck.At("dynamic_resources", err)
	}
	if c.MaxConnections, c.Overload, err = readOverload(b); err != nil {
		return nil, err
	}
	if err := c.readRuntime(b); err != nil {
		return nil, err
	}
	for i, e := range b.GetBootstrapExtensions() {
		if err := extension(e.GetTypedConfig()); err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("bootstrap_extensions[%d].typed_config", i), err)
		}
	}
	if e := b.GetDefaultRegexEngine(); e != nil && e.GetTypedConfig().MessageName() != re2 {
		return nil, fieldcheck.Refuse("default_regex_engine.typed_config", "%s is no engine of expressions here: they are RE2's", e.GetTypedConfig().MessageName())
	}
	c.Statistics = b.GetStatsConfig().GetStatsMatcher()
	return c, nil
}

// re2 is the one engine of regular expressions, with nothing to set that would differ.
const re2 = "envoy.extensions.regex_engines.v3.GoogleRE2"

// internalListener makes room for listeners inside the process, which Istio's
// bootstrap has always and uses for tunnels only.
const internalListener = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"

func extension(packed *anypb.Any) error {
	kind := string(packed.MessageName())
	if wrapped := (&xdsv3.TypedStruct{}); packed.MessageIs(&udpav1.TypedStruct{}) || packed.MessageIs(wrapped) {
		// Both wrappers have the same fields.
		if err := proto.Unmarshal(packed.GetValue(), wrapped); err != nil {
			return err
		}
		_, kind, _ = strings.Cut(wrapped.GetTypeUrl(), "/")
	}
	if kind != internalListener {
		return fieldcheck.Refuse("", "%s is not supported", kind)
	}
	return nil
}
