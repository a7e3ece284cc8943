package model

import "strings"

// Protocol is what a port speaks.
type Protocol string

// The protocols that a port can declare. Unset means that nobody said: the
// proxy finds out by looking at the first bytes.
const (
	Unset   Protocol = ""
	HTTP    Protocol = "HTTP"
	HTTP2   Protocol = "HTTP2"
	GRPC    Protocol = "GRPC"
	GRPCWeb Protocol = "GRPC-Web"
	HTTPS   Protocol = "HTTPS"
	TLS     Protocol = "TLS"
	TCP     Protocol = "TCP"
	UDP     Protocol = "UDP"
	Mongo   Protocol = "Mongo"
	MySQL   Protocol = "MySQL"
	Redis   Protocol = "Redis"
)

var byWord = map[string]Protocol{
	"http": HTTP, "http1": HTTP, "http2": HTTP2, "grpc": GRPC, "grpc-web": GRPCWeb, "https": HTTPS, "tls": TLS,
	"tcp": TCP, "udp": UDP, "mongo": Mongo, "mysql": MySQL, "redis": Redis,
	"kubernetes.io/h2c": HTTP2, "kubernetes.io/ws": HTTP, "kubernetes.io/wss": HTTPS,
}

// ParseProtocol reads a protocol word in any case, as Gateway and ServiceEntry
// ports and appProtocol write it. An unknown word is Unset.
func ParseProtocol(word string) Protocol { return byWord[strings.ToLower(word)] }

// serverFirst are ports whose usual protocol has the server speak first, so
// that waiting for the client's first bytes would wait for ever.
var serverFirst = map[uint32]bool{25: true, 53: true, 3306: true, 27017: true}

// PortProtocol decides what a Kubernetes service port speaks, by Istio's rules:
// appProtocol if it is set, else the port name up to the first "-", else TCP
// for the well-known server-first ports, else Unset. transport is the
// Kubernetes port's own protocol ("TCP", "UDP", "SCTP").
func PortProtocol(number uint32, name, transport, appProtocol string) Protocol {
	if transport == "UDP" {
		return UDP
	}
	if appProtocol != "" {
		if p := ParseProtocol(appProtocol); p != Unset {
			return p
		}
	} else {
		word := strings.ToLower(name)
		if p, ok := byWord[word]; ok {
			return p
		}
		if strings.HasPrefix(word, "grpc-web") {
			return GRPCWeb
		}
		word, _, _ = strings.Cut(word, "-")
		if p, ok := byWord[word]; ok {
			return p
		}
	}
	if serverFirst[number] {
		return TCP
	}
	return Unset
}

// IsHTTP reports whether requests of this protocol are routed one by one.
func (p Protocol) IsHTTP() bool {
	return p == HTTP || p == HTTP2 || p == GRPC || p == GRPCWeb
}

// IsHTTP2 reports whether the protocol needs HTTP/2 framing.
func (p Protocol) IsHTTP2() bool { return p == HTTP2 || p == GRPC || p == GRPCWeb }

// IsTLS reports whether the bytes are TLS that the client itself started.
func (p Protocol) IsTLS() bool { return p == HTTPS || p == TLS }

// IsTCP reports whether the protocol is carried as a byte stream, unread.
func (p Protocol) IsTCP() bool {
	return p == TCP || p == HTTPS || p == TLS || p == Mongo || p == MySQL || p == Redis
}
