// Package cluster picks an endpoint for a request, and keeps what is known of
// the endpoints' health: the sixth step of a request.
package cluster

import (
	"net"
	"net/netip"
	"time"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Kind says where a cluster's endpoints come from.
type Kind uint8

// The kinds, after Envoy's cluster types.
const (
	Static      Kind = iota // STATIC: those that it begins with
	StrictDNS               // every address of every name
	LogicalDNS              // the first address of the one name
	OriginalDst             // where the downstream connection wanted to go
	// EDS are set by SetEndpoints. Of those at one address the first counts, as in
	// Envoy; of other kinds each does.
	EDS
)

// Policy is how an endpoint is chosen among equals.
type Policy uint8

// The policies, after Envoy's.
const (
	RoundRobin Policy = iota
	LeastRequest
	Random
	RingHash
	Maglev
)

// Config is a cluster in runtime form.
type Config struct {
	Name string
	// StatName is its name in statistics; empty is Name.
	StatName string
	Kind     Kind
	Policy   Policy
	Hashing  *Hashing // for RingHash and Maglev; nil is the default
	// Choices is how many endpoints LEAST_REQUEST compares, default 2; FullScan
	// compares all. Bias is the power to which it takes how busy they are, where they
	// differ in weight; nil is 1.
	Choices  uint32
	FullScan bool
	Bias     *runtime.Number
	// Zones prefers endpoints that are near; nil does not.
	Zones *Zones
	// Panic is the percentage of healthy endpoints below which all are used;
	// negative is Envoy's default of 50, 0 never.
	Panic float64
	// OverrideDraining lets requests that ask for an endpoint go there while it
	// drains.
	OverrideDraining bool
	// LocalityWeighted balances over localities by their weights first.
	LocalityWeighted bool
	// Limits are those of requests with the default priority, HighLimits those of the
	// others.
	Limits, HighLimits Limits
	// PerHost is how many connections each endpoint may have; 0 is no limit.
	PerHost      uint32
	Subsets      *Subsets      // nil: any endpoint serves any request
	Outlier      *Outlier      // nil: none is ejected
	SlowStart    *SlowStart    // nil: new endpoints take their share at once
	HealthChecks []HealthCheck // none: endpoints are not asked
	// IgnoreNew leaves endpoints out of account until they have answered a probe.
	IgnoreNew bool
	// IgnoreHealthOnRemoval lets go of endpoints that are removed though probes find
	// them well.
	IgnoreHealthOnRemoval bool
	// CutUnhealthy ends byte streams to endpoints that are taken out.
	CutUnhealthy bool
	// RenewOnChange opens all connections anew when endpoints come or go.
	RenewOnChange bool
	Pool          pool.Config
	// TLS of endpoints that have none of their own; nil is plain text.
	TLS pool.TLS
	DNS *DNS // for StrictDNS and LogicalDNS; nil is the default
	// OriginalPort replaces the original destination's port; 0 keeps it.
	OriginalPort uint16
	// AutoSNI sends the request's host as SNI, AutoSAN verifies it.
	AutoSNI, AutoSAN bool
	// MostFields is how many fields a response may have; 100 when zero.
	MostFields int
	// StreamDuration is how long one exchange with an endpoint may take; 0 is for ever.
	StreamDuration time.Duration
	// Protocol is what endpoints are spoken to in.
	Protocol Protocol
	// Carrier speaks HTTP/2 on a connection; nil only where Protocol is HTTP1.
	Carrier func(conn net.Conn, changed func()) pool.Carrier
	// KeepALPN is true when the cluster's ALPN must not be rewritten per request
	// (metadata istio.alpn_override=false).
	KeepALPN bool
	// Service is what the cluster stands for, from its metadata; nil if unknown.
	Service  *stream.Service
	Metadata stream.Metadata // for logs
	// Endpoints at the start, and how requests spread over their priorities; EDS sets
	// them later.
	Endpoints []Endpoint
	Spread    Spread
}

// Protocol is how the version of HTTP that endpoints are spoken to in is chosen.
type Protocol uint8

// The choices.
const (
	HTTP1      Protocol = iota
	HTTP2               // whatever the client speaks
	Negotiated          // what the handshake agrees on, HTTP/1.1 in plain text
	Downstream          // what the client speaks
)

// Endpoint is one address of a cluster.
type Endpoint struct {
	Address netip.AddrPort
	// Name is its host name. In DNS clusters that is the DNS name behind it unless it
	// has one of its own, with Address' port alone set before it has been resolved.
	Name           string
	Health         model.Health
	Weight         uint32 // 0 means 1
	Priority       uint32
	Locality       *model.Locality // nil for none; those of one locality share it
	LocalityWeight uint32
	TLS            pool.TLS // resolved from transport socket matches; nil: the cluster's
	// Plain is true when a transport socket match chose plain text.
	Plain bool
	// MTLS is true when TLS is the mesh's own.
	MTLS bool
	// Peer is what metadata tells of the workload; nil if nothing.
	Peer *stream.Peer
	Rare *Rare // nil for most
}

// Socket is the path of the endpoint's Unix socket; empty when it has an address.
func (e *Endpoint) Socket() string {
	if e.Rare == nil {
		return ""
	}
	return e.Rare.Socket
}

// Where is the endpoint's locality.
func (e *Endpoint) Where() model.Locality {
	if e.Locality == nil {
		return model.Locality{}
	}
	return *e.Locality
}

// probed is how probes ask, where that differs.
func (e *Endpoint) probed() Probed {
	if e.Rare == nil || e.Rare.Probed == nil {
		return Probed{}
	}
	return *e.Rare.Probed
}

func (e *Endpoint) labels() Labels {
	if e.Rare == nil {
		return nil
	}
	return e.Rare.Labels
}

// Rare is what few endpoints have.
type Rare struct {
	// Labels are what the endpoint's metadata says for subsets.
	Labels Labels
	// HashKey places the endpoint among keys instead of its address.
	HashKey string
	// Socket is a Unix socket's path, instead of the address.
	Socket string
	// DNSName is resolved to find the endpoint, where that is not its Name.
	DNSName string
	Probed  *Probed // nil: probes ask as requests are sent
	// Described is the endpoint's metadata, for logs.
	Described stream.Metadata
}

// Metadata is what the endpoint says of itself, for logs; nil for nothing.
func (e *Endpoint) Metadata() *stream.Metadata {
	if e.Rare == nil {
		return nil
	}
	return &e.Rare.Described
}

// dnsName is what is resolved to find the endpoint.
func (e *Endpoint) dnsName() string {
	if e.Rare != nil && e.Rare.DNSName != "" {
		return e.Rare.DNSName
	}
	return e.Name
}
