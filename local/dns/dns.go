// Package dns is the cluster's name server on one machine: it answers for the
// names of Services, and passes other questions on to the machine's own server.
package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Config says what is answered.
type Config struct {
	// Listen is the address for UDP and TCP.
	Listen netip.AddrPort
	// Zone is the cluster's domain; default cluster.local.
	Zone string
	// Service finds the addresses of a Service: its virtual IP, or its pods' for a
	// headless one. ok is false when there is no such Service.
	Service func(namespace, name string) (addrs []netip.Addr, ok bool)
	// Upstream answers for other zones; empty is the machine's own server, and
	// "none" is nobody.
	Upstream string
	Log      *slog.Logger
}

// Server answers questions.
type Server struct {
	cfg      Config
	upstream string
}

// ttl of answers in seconds, as Kubernetes' own server gives.
const ttl = 5

// New makes a server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Zone == "" {
		cfg.Zone = "cluster.local"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, upstream: cfg.Upstream}
	if s.upstream == "" {
		if c, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil && len(c.Servers) > 0 {
			s.upstream = net.JoinHostPort(c.Servers[0], c.Port)
		}
	}
	return s
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	packets, err := net.ListenPacket("udp", s.cfg.Listen.String())
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp", s.cfg.Listen.String())
	if err != nil {
		packets.Close()
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: streams, Handler: s}} {
		group.Go(func() error {
			err := server.ActivateAndServe()
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		packets.Close()
		streams.Close()
		return nil
	})
	return group.Wait()
}

// ServeDNS implements [dns.Handler].
func (s *Server) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	// The client asks again when an answer does not arrive.
	_ = w.WriteMsg(s.answer(question))
}

func (s *Server) answer(question *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(question)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if len(question.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		return reply
	}
	q := question.Question[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	local, ok := strings.CutSuffix(name, "."+s.cfg.Zone)
	if !ok && name != s.cfg.Zone {
		return s.forward(question, reply)
	}
	addrs, found := s.find(local)
	if !found {
		reply.Rcode = dns.RcodeNameError
		return reply
	}
	for _, a := range addrs {
		if a.Is4() && q.Qtype == dns.TypeA {
			reply.Answer = append(reply.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: a.AsSlice()})
		}
	}
	return reply
}

// find reads NAME.NAMESPACE.svc.
func (s *Server) find(name string) ([]netip.Addr, bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || parts[2] != "svc" {
		return nil, false
	}
	return s.cfg.Service(parts[1], parts[0])
}

// forward asks the machine's own server.
func (s *Server) forward(question, reply *dns.Msg) *dns.Msg {
	if s.upstream == "" || s.upstream == "none" {
		reply.Rcode = dns.RcodeNameError
		return reply
	}
	client := &dns.Client{Timeout: 2 * time.Second}
	answer, _, err := client.Exchange(question, s.upstream)
	if err != nil {
		s.cfg.Log.Debug("name server does not answer", "server", s.upstream, "error", err)
		reply.Rcode = dns.RcodeServerFailure
		return reply
	}
	return answer
}
