package stream

// Metadata is what filters leave about a request for other filters, routes and
// the access log: Envoy's dynamic metadata, by namespace (a filter's name).
// Values are as JSON decodes them: string, float64, bool, nil, []any and
// map[string]any. The zero Metadata is empty.
type Metadata struct{ spaces map[string]map[string]any }

// Namespace is all that was left in one namespace; nil when nothing was. It
// must not be changed.
func (m *Metadata) Namespace(name string) map[string]any { return m.spaces[name] }

// Namespaces is everything. It must not be changed.
func (m *Metadata) Namespaces() map[string]map[string]any { return m.spaces }

// Set leaves a value under a key of a namespace.
func (m *Metadata) Set(namespace, key string, value any) {
	if m.spaces == nil {
		m.spaces = map[string]map[string]any{}
	}
	if m.spaces[namespace] == nil {
		m.spaces[namespace] = map[string]any{}
	}
	m.spaces[namespace][key] = value
}

// Get walks to a value: the path's first word is a key of the namespace, the
// others are keys of the objects below. Without a path it is the namespace. A nil
// Metadata has nothing.
func (m *Metadata) Get(namespace string, path ...string) (any, bool) {
	if m == nil {
		return nil, false
	}
	space, found := m.spaces[namespace]
	if !found {
		return nil, false
	}
	return Walk(space, path...)
}

// Walk follows keys down into an object.
func Walk(object map[string]any, path ...string) (any, bool) {
	var value any = object
	for _, key := range path {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = inner[key]; !ok {
			return nil, false
		}
	}
	return value, true
}

// Empty reports whether there is none.
func (m *Metadata) Empty() bool { return len(m.spaces) == 0 }

// Described is what resources say of themselves, for logs: those that a request has met.
// nil is nothing.
type Described struct{ Route, VirtualHost, Cluster, Endpoint *Metadata }

// Unkept reports whether nothing is kept of a namespace in the metadata of resources:
// of those that a control plane writes on each of them for proxies alone.
func Unkept(namespace string) bool {
	return namespace == "istio" || namespace == "envoy.transport_socket_match"
}
