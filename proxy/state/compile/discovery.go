package compile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// discovery is how a filter of the list comes by its configuration. It is immutable
// once the list is in force.
type discovery struct {
	ref     ads.Ref
	types   []protoreflect.FullName // that the configuration may be
	inbound bool
	// instead is the configuration where none is discovered; nil is none.
	instead *anypb.Any
	// patience is how long one is waited for; 0 is for ever.
	patience time.Duration
	// settled is true when it is known what the filter is to do.
	settled bool
	secrets []ads.Ref // that it uses
}

// FetchTimeout is how long the first answer of a source is waited for; 0 is for ever.
func FetchTimeout(m *corev3.ConfigSource) time.Duration {
	if t := m.GetInitialFetchTimeout(); t != nil {
		return t.AsDuration()
	}
	return 15 * time.Second
}

// discover adds a filter to the list whose configuration is discovered.
func (c *Compiler) discover(out *Filters, f *hcmv3.HttpFilter, inbound bool) error {
	m := f.GetConfigDiscovery()
	d := &discovery{inbound: inbound, instead: m.GetDefaultConfig(), patience: FetchTimeout(m.GetConfigSource())}
	if m.GetConfigSource() == nil {
		return fieldcheck.Refuse("config_source", "is missing")
	}
	var err error
	if d.ref, err = c.locate(m.GetConfigSource(), ads.ExtensionType, f.GetName()); err != nil {
		return fieldcheck.At("config_source", err)
	}
	for i, url := range m.GetTypeUrls() {
		name := protoreflect.FullName(short(url))
		if !discoverable(name) {
			return fieldcheck.Refuse(fmt.Sprintf("type_urls[%d]", i), "%s is not a filter whose configuration can be discovered", name)
		}
		d.types = append(d.types, name)
	}
	hf := httpFilter{name: f.GetName(), discovery: d}
	if err := c.fill(&hf, nil); err != nil {
		return fieldcheck.At("default_config", err)
	}
	if d.settled = m.GetApplyDefaultConfigWithoutWarming(); d.settled && d.instead == nil {
		return fieldcheck.Refuse("apply_default_config_without_warming", "is set and there is no default_config")
	}
	out.list = append(out.list, hf)
	return nil
}

// discoverable reports whether a filter's configuration can be discovered: not that
// of what stands outside the list.
func discoverable(name protoreflect.FullName) bool {
	switch name {
	case "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector":
		return true
	}
	return filterKinds[name] != nil
}

// fill makes a discovered filter do what a configuration says; with nil it does what
// it is to do instead.
func (c *Compiler) fill(hf *httpFilter, config *anypb.Any) error {
	d := hf.discovery
	if config == nil {
		config = d.instead
	}
	if config == nil {
		hf.build = func(proto.Message, *spot) (stream.Filter, error) { return unconfigured{}, nil }
		hf.reroutes, d.secrets = false, nil
		return nil
	}
	m, err := open(config)
	if err != nil {
		return err
	}
	if kind := m.ProtoReflect().Descriptor().FullName(); !slices.Contains(d.types, kind) {
		return fieldcheck.Refuse("", "is a %s, and type_urls has %s", kind, listed(d.types))
	}
	if err := Fields.Check(m); err != nil {
		return err
	}
	one := Filters{}
	if err := c.filter(&one, hf.name, m, d.inbound); err != nil {
		return err
	}
	hf.build, hf.reroutes, d.secrets = one.list[0].build, one.list[0].reroutes, one.secrets
	return nil
}

func listed(list []protoreflect.FullName) string {
	var out []string
	for _, name := range list {
		out = append(out, string(name))
	}
	return strings.Join(out, ", ")
}

// configured is a list of filters in which the configurations of some are known, nil for
// that it is known that there is none. The list has a place for route tables of its
// own.
func (c *Compiler) configured(f *Filters, configs map[ads.Ref]*anypb.Any) (*Filters, error) {
	out := *f
	out.table = &route.Current{}
	out.list = slices.Clone(f.list)
	for i := range out.list {
		hf := &out.list[i]
		if hf.discovery == nil {
			continue
		}
		config, known := configs[hf.discovery.ref]
		if !known {
			continue
		}
		d := *hf.discovery
		d.settled = true
		hf.discovery = &d
		if err := c.fill(hf, config); err != nil {
			return nil, fieldcheck.At("typed_config", err)
		}
	}
	return &out, nil
}

// discovered are the filters of the list whose configuration is discovered.
func (f *Filters) discovered() []*discovery {
	var all []*discovery
	for i := range f.list {
		if d := f.list[i].discovery; d != nil {
			all = append(all, d)
		}
	}
	return all
}

// unconfigured is a filter whose configuration is not there.
type unconfigured struct{}

// Handle implements [stream.Filter].
func (unconfigured) Handle(*stream.Request, stream.Handler) (*stream.Response, error) {
	return nil, &stream.Refusal{Status: 500, Flags: stream.NoFilterConfig}
}

// A Fallback is a filter that waits for its configuration for a limited time.
type Fallback struct {
	Filter ads.Ref
	After  time.Duration
}

// Fallbacks are the filters that do without their configuration when nothing has been
// heard of it for a time.
func (l *Listener) Fallbacks() []Fallback {
	var all []Fallback
	for _, m := range l.Managers {
		for _, d := range m.filters.discovered() {
			if !d.settled && d.patience > 0 {
				all = append(all, Fallback{d.ref, d.patience})
			}
		}
	}
	return all
}

// Extension checks a filter's configuration as far as that is possible without
// knowing where it stands.
func Extension(m *corev3.TypedExtensionConfig) (*anypb.Any, error) {
	if m.GetTypedConfig() == nil {
		return nil, fieldcheck.Refuse("typed_config", "is missing")
	}
	return m.GetTypedConfig(), Fields.Check(m)
}
