package fakemysql

import (
	"bufio"
	"context"
	"fmt"
	"net"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// stream is the packets of one connection, with the hooks that see them. One
// goroutine uses it.
type stream struct {
	server *Server
	conn   uint32
	raw    net.Conn // closing it, which any goroutine may, ends everything
	rw     net.Conn // raw, or TLS over it
	out    *bufio.Writer
	seq    byte // of the next packet to write

	// What packets are about, for the hooks.
	command wire.Command
	sql     string
	number  int // packets of this answer so far
}

func newStream(s *Server, id uint32, raw net.Conn) *stream {
	return &stream{server: s, conn: id, raw: raw, rw: raw, out: bufio.NewWriter(raw), command: wire.ComConnect}
}

// switchTo goes on over rw, which is TLS over raw.
func (s *stream) switchTo(rw net.Conn) {
	s.rw = rw
	s.out = bufio.NewWriter(rw)
}

// read reads the client's next packet during the handshake. Nothing is buffered:
// TLS may begin behind it.
func (s *stream) read(ctx context.Context) ([]byte, error) {
	for {
		p, err := wire.ReadPacket(s.rw, s.server.cfg.MaxPacket)
		if err != nil {
			return nil, err
		}
		payload, pass, err := s.received(ctx, p)
		if err != nil || pass {
			return payload, err
		}
	}
}

// begin says what the packets from now on are about.
func (s *stream) begin(command wire.Command, sql string) {
	s.command, s.sql, s.number = command, sql, 0
}

// received takes note of a packet of the client and asks the hook about it. It
// returns false if the packet is to be ignored.
func (s *stream) received(ctx context.Context, p wire.Packet) (payload []byte, pass bool, err error) {
	s.seq = p.Next()
	h := s.server.hooks.Load()
	if h == nil || h.Before == nil {
		return p.Payload, true, nil
	}
	seen := s.packet(FromClient, p.Seq, 0, p.Payload)
	pass, err = s.obey(h.Before(ctx, seen))
	return seen.Payload, pass, err
}

// finished tells the hook that a packet of the client has been acted upon.
func (s *stream) finished(ctx context.Context, p wire.Packet) error {
	h := s.server.hooks.Load()
	if h == nil || h.After == nil {
		return nil
	}
	_, err := s.obey(h.After(ctx, s.packet(FromClient, p.Seq, 0, p.Payload)))
	return err
}

// send writes one packet, which the client has at the latest after flush.
func (s *stream) send(ctx context.Context, kind wire.Kind, payload []byte) error {
	h := s.server.hooks.Load()
	if h == nil {
		s.number++
		return s.write(payload)
	}
	p := s.packet(FromServer, s.seq, kind, payload)
	s.number++
	if h.Before != nil {
		if pass, err := s.obey(h.Before(ctx, p)); !pass || err != nil {
			return err
		}
	}
	if err := s.write(p.Payload); err != nil {
		return err
	}
	// What went before a hook's delay or cut must be with the client by then.
	if err := s.out.Flush(); err != nil || h.After == nil {
		return err
	}
	_, err := s.obey(h.After(ctx, p))
	return err
}

func (s *stream) write(payload []byte) error {
	p := wire.Packet{Seq: s.seq, Payload: payload}
	s.seq = p.Next()
	return wire.WritePacket(s.out, p)
}

func (s *stream) flush() error { return s.out.Flush() }

func (s *stream) packet(from Side, seq byte, kind wire.Kind, payload []byte) *Packet {
	return &Packet{
		Conn: s.conn, From: from, Seq: seq, Payload: payload,
		Command: s.command, SQL: s.sql, Kind: kind, Number: s.number,
	}
}

// obey carries a verdict out as far as the connection goes.
func (s *stream) obey(v Verdict) (pass bool, err error) {
	switch v {
	case Pass:
		return true, nil
	case Drop:
		return false, nil
	case Cut:
		return false, errCut
	case Reset:
		if tcp, ok := s.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // then close sends an RST
		}
		return false, errCut
	default:
		return false, fmt.Errorf("fakemysql: no verdict: %d", v)
	}
}
