package peermetadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Protocol is what both ends of a connection agree on in their TLS handshake when
// they are going to tell each other who they are before its first bytes.
const Protocol = "istio-peer-exchange"

const (
	// magic begins what is told, in the network's byte order; the length of the
	// message follows, in four bytes.
	magic      = 0x3D230467
	frameHead  = 8
	maxMessage = 1 << 20
)

// Exchange tells the other ends of connections who this proxy's workload is, and
// learns who they are, each before the first bytes of its direction.
type Exchange struct {
	frame []byte
	known *Peers
}

// NewExchange makes what is told of a workload. known remembers peers.
func NewExchange(self stream.Peer, id string, known *Peers) (*Exchange, error) {
	packed, err := anypb.New(&structpb.Struct{Fields: map[string]*structpb.Value{
		header: structpb.NewStructValue(structOf(self)), headerID: structpb.NewStringValue(id),
	}})
	if err != nil {
		return nil, fmt.Errorf("encode peer metadata: %w", err)
	}
	frame, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(make([]byte, frameHead), packed)
	if err != nil {
		return nil, fmt.Errorf("encode peer metadata: %w", err)
	}
	binary.BigEndian.PutUint32(frame, magic)
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-frameHead))
	return &Exchange{frame, known}, nil
}

// Conn carries the bytes of a connection on which the protocol was agreed on.
func (e *Exchange) Conn(conn net.Conn) *Conn { return &Conn{Conn: conn, exchange: e} }

// Agreed is [Exchange.Conn] for connections that have agreed on the protocol, and
// leaves others as they are.
func (e *Exchange) Agreed(protocol string, conn net.Conn) net.Conn {
	if protocol != Protocol {
		return conn
	}
	return e.Conn(conn)
}

// Conn is a connection whose bytes stand behind what both ends tell.
type Conn struct {
	net.Conn
	exchange *Exchange
	peer     atomic.Pointer[stream.Peer]
	telling  sync.Once
	told     error // set by telling

	// The following belong to who reads.

	heard bool
	rest  []byte // read too much
}

// Told is who is at the other end: known with the first bytes that are read, nil
// before, and when the other end does not say.
func (c *Conn) Told() *stream.Peer { return c.peer.Load() }

// tell writes our own part, once.
func (c *Conn) tell() error {
	c.telling.Do(func() { _, c.told = c.Conn.Write(c.exchange.frame) })
	return c.told
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.tell(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	if !c.heard {
		if err := c.hear(); err != nil {
			return 0, err
		}
	}
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// hear reads the other end's part, and then tells ours: who has nothing to say
// first is heard all the same. Bytes that are no such part are left as they are.
func (c *Conn) hear() error {
	c.heard = true
	head := make([]byte, frameHead)
	n, err := io.ReadFull(c.Conn, head)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err != nil || n < frameHead || binary.BigEndian.Uint32(head) != magic {
		c.rest = head[:n]
		return err
	}
	size := binary.BigEndian.Uint32(head[4:])
	if size > maxMessage {
		return fmt.Errorf("the peer tells of itself in %d bytes, %d are too many", size, maxMessage)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(c.Conn, message); err != nil {
		return err
	}
	c.peer.Store(c.exchange.known.message(message))
	return c.tell()
}

// CloseWrite ends our direction.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// message gives the peer that a message describes, nil when it describes none.
func (p *Peers) message(text []byte) *stream.Peer {
	return p.learn("\x00"+string(text), func() (stream.Peer, error) {
		var packed anypb.Any
		var s structpb.Struct
		if err := proto.Unmarshal(text, &packed); err != nil {
			return stream.Peer{}, err
		}
		if err := packed.UnmarshalTo(&s); err != nil {
			return stream.Peer{}, err
		}
		told := s.GetFields()[header].GetStructValue()
		if told == nil {
			return stream.Peer{}, errors.New("tells nothing of the workload")
		}
		return FromNode(told), nil
	})
}
