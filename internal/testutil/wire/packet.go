package wire

import (
	"errors"
	"fmt"
	"io"
)

// MaxPayload is the most that one frame carries. A payload of that length or
// more is split, and its last frame is shorter, if need be empty.
const MaxPayload = 1<<24 - 1

const headerLen = 4

var (
	// ErrMalformed is wrapped by every parse error.
	ErrMalformed = errors.New("wire: malformed packet")
	// ErrTooLarge is returned by ReadPacket for a payload above its limit.
	ErrTooLarge = errors.New("wire: packet too large")
)

// Packet is one message: a payload, and the sequence id of its first frame.
type Packet struct {
	Seq     byte
	Payload []byte
}

// Next is the sequence id of the packet that follows p.
func (p Packet) Next() byte {
	return p.Seq + byte(len(p.Payload)/MaxPayload) + 1
}

// ReadPacket reads one message, joined if it came in several frames. The error
// is io.EOF if r ended before its first byte, io.ErrUnexpectedEOF if it ended
// inside, ErrTooLarge if the payload is longer than limit bytes (0 = no limit).
// It reads exactly one message: what comes after it stays in r, which matters
// before TLS. Give it a bufio.Reader where speed does.
func ReadPacket(r io.Reader, limit int) (Packet, error) {
	var p Packet
	for frame := 0; ; frame++ {
		n, seq, err := readHeader(r)
		if err != nil {
			if frame > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Packet{}, err
		}
		if frame == 0 {
			p.Seq = seq
		} else if want := p.Seq + byte(frame); seq != want {
			return Packet{}, fmt.Errorf("%w: continued with sequence id %d, not %d", ErrMalformed, seq, want)
		}
		if limit > 0 && len(p.Payload)+n > limit {
			return Packet{}, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(p.Payload)+n, limit)
		}
		if p.Payload, err = readFrame(r, p.Payload, n); err != nil {
			return Packet{}, err
		}
		if n < MaxPayload {
			return p, nil
		}
	}
}

func readHeader(r io.Reader) (n int, seq byte, err error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	return int(h[0]) | int(h[1])<<8 | int(h[2])<<16, h[3], nil
}

func readFrame(r io.Reader, payload []byte, n int) ([]byte, error) {
	have := len(payload)
	payload = append(payload, make([]byte, n)...)
	if _, err := io.ReadFull(r, payload[have:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return payload, nil
}

// AppendPacket appends p to dst as it goes over the network, split into frames
// as needed.
func AppendPacket(dst []byte, p Packet) []byte {
	payload, seq := p.Payload, p.Seq
	for {
		n := min(len(payload), MaxPayload)
		dst = append(dst, byte(n), byte(n>>8), byte(n>>16), seq)
		dst = append(dst, payload[:n]...)
		payload = payload[n:]
		seq++
		if n < MaxPayload {
			return dst
		}
	}
}

// WritePacket writes p with one call of w.Write.
func WritePacket(w io.Writer, p Packet) error {
	_, err := w.Write(AppendPacket(make([]byte, 0, headerLen+len(p.Payload)), p))
	return err
}
