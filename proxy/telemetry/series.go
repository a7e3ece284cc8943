package telemetry

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// protocol is the request_protocol label.
type protocol uint8

const (
	plainHTTP protocol = iota
	grpc
	bytestream
)

func (p protocol) String() string { return [...]string{"http", "grpc", "tcp"}[p] }

// key is what a request shows of its labels, cheap to look up: peers and
// services stand by their pointers. Several keys may mean one series.
type key struct {
	source, mutual bool
	protocol       protocol
	code           int
	flags          stream.Flags
	peer           *stream.Peer
	service        *stream.Service
	// principal is the peer's; grpc the status; host and cluster name the
	// destination where no service does.
	principal, grpc, host, cluster string
	// group is how overrides change the labels, nil not at all; values are those of
	// its own.
	group  *group
	values string
}

// labels are a series' labels by value, as far as they differ within a proxy.
type labels struct {
	source, mutual bool
	protocol       protocol
	code           int
	flags          stream.Flags
	peer           stream.Peer
	service        stream.Service
	principal      string
	grpc           string
	group          *group
	values         string
}

// labels says what a key means. Strings are cloned: they may point into a
// connection's buffer.
func (k key) labels() labels {
	l := labels{source: k.source, mutual: k.mutual, protocol: k.protocol, code: k.code, flags: k.flags,
		principal: strings.Clone(k.principal), grpc: strings.Clone(k.grpc), group: k.group, values: k.values}
	if k.peer != nil {
		l.peer = *k.peer
		l.peer.Name, l.peer.OwnerKind = "", "" // are no labels
	}
	if k.service != nil {
		l.service = *k.service
		return l
	}
	l.service = stream.Service{Host: strings.Clone(k.host), Name: strings.Clone(k.host)}
	if k.cluster != "" {
		l.service.Name = strings.Clone(k.cluster)
	}
	return l
}

// series is what is counted under one set of labels.
type series struct {
	text                         string // the labels, as Prometheus writes them
	requests                     atomic.Int64
	duration, requestSize, reply stream.Histogram
	messagesIn, messagesOut      atomic.Int64
	// shown are the metrics that have these labels.
	shown                          atomic.Uint32
	opened, closed, received, sent atomic.Int64
}

// show has some metrics shown.
func (s *series) show(some metrics) {
	if m := uint32(some); s.shown.Load()&m != m {
		s.shown.Or(m)
	}
}

// maxSeries bounds what hosts and peers from outside can make us keep. What
// comes when there are as many is counted under one series of unknowns.
const maxSeries = 10_000

// book keeps all series. Requests look keys up in an immutable map that is
// swapped, without a lock.
type book struct {
	known atomic.Pointer[map[key]*series]

	mu  sync.Mutex
	all map[string]*series // guarded by mu; by the labels as they are written
}

// find gets the series for a key, or makes it. It allocates only for keys that
// it has not seen.
func (t *Telemetry) find(k key) *series {
	if s := (*t.book.known.Load())[k]; s != nil {
		return s
	}
	return t.learn(k)
}

func (t *Telemetry) learn(k key) *series {
	b := &t.book
	b.mu.Lock()
	defer b.mu.Unlock()
	l := k.labels()
	text := string(t.text(l))
	s := b.all[text]
	if s == nil && len(b.all) >= maxSeries {
		l = labels{source: l.source, protocol: l.protocol, group: l.group}
		text = string(t.text(l))
		s = b.all[text]
	}
	if s == nil {
		s = &series{text: text}
		b.all[text] = s
	}
	k.principal, k.grpc, k.host, k.cluster = l.principal, l.grpc, strings.Clone(k.host), strings.Clone(k.cluster)
	old := *b.known.Load()
	grown := make(map[key]*series, len(old)+1)
	if len(old) < maxSeries {
		maps.Copy(grown, old)
	}
	grown[k] = s
	b.known.Store(&grown)
	return s
}

// sorted lists all series by their labels.
func (b *book) sorted() []*series {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.all), func(x, y *series) int { return strings.Compare(x.text, y.text) })
}
