package aurorasim

import (
	"bufio"
	"errors"
	"io"
	"net"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

const (
	headerLen = 4
	// readBuffer is how much a connection reads at once: packets that fit are
	// relayed without a copy.
	readBuffer  = 8 << 10
	writeBuffer = 8 << 10
	// maxPacket is MySQL's upper limit for max_allowed_packet.
	maxPacket = 1 << 30
)

// packetReader reads messages without allocating, unless they are large.
type packetReader struct {
	r    *bufio.Reader
	used int // bytes of r that the newest payload stands in
}

func newPacketReader(c net.Conn) *packetReader {
	return &packetReader{r: bufio.NewReaderSize(c, readBuffer)}
}

// next reads one message. The payload is valid until the next call.
func (p *packetReader) next() (payload []byte, seq byte, err error) {
	if err := p.release(); err != nil {
		return nil, 0, err
	}
	head, err := p.r.Peek(headerLen)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, 0, err
	}
	n, seq := int(head[0])|int(head[1])<<8|int(head[2])<<16, head[3]
	if headerLen+n <= p.r.Size() {
		frame, err := p.r.Peek(headerLen + n)
		if err != nil {
			return nil, 0, io.ErrUnexpectedEOF
		}
		p.used = len(frame)
		return frame[headerLen:], seq, nil
	}
	packet, err := wire.ReadPacket(p.r, maxPacket)
	return packet.Payload, seq, err
}

// release gives the newest payload's place back.
func (p *packetReader) release() error {
	_, err := p.r.Discard(p.used)
	p.used = 0
	return err
}

// buffered tells whether more has arrived than the newest payload.
func (p *packetReader) buffered() bool { return p.r.Buffered() > p.used }

// Read gives what was read ahead, then what the connection has: TLS begins in the
// middle of the stream.
func (p *packetReader) Read(b []byte) (int, error) {
	if err := p.release(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// readAheadConn is a connection of which something was read ahead.
type readAheadConn struct {
	net.Conn
	ahead *packetReader
}

func (c readAheadConn) Read(b []byte) (int, error) { return c.ahead.Read(b) }

// packetWriter collects messages until flush.
type packetWriter struct{ w *bufio.Writer }

func newPacketWriter(c net.Conn) *packetWriter {
	return &packetWriter{w: bufio.NewWriterSize(c, writeBuffer)}
}

// put writes one message. Errors stay and come with flush.
func (p *packetWriter) put(seq byte, payload []byte) {
	for {
		n := min(len(payload), wire.MaxPayload)
		for _, b := range [headerLen]byte{byte(n), byte(n >> 8), byte(n >> 16), seq} {
			_ = p.w.WriteByte(b)
		}
		_, _ = p.w.Write(payload[:n])
		payload = payload[n:]
		seq++
		if n < wire.MaxPayload {
			return
		}
	}
}

func (p *packetWriter) flush() error { return p.w.Flush() }

// send writes one message at once.
func (p *packetWriter) send(seq byte, payload []byte) error {
	p.put(seq, payload)
	return p.flush()
}
