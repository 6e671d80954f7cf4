package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

func TestPacketRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name   string
		size   int
		frames int
	}{
		{"empty", 0, 1},
		{"one byte", 1, 1},
		{"just below a frame", wire.MaxPayload - 1, 1},
		{"a whole frame has an empty one behind it", wire.MaxPayload, 2},
		{"split", wire.MaxPayload + 5, 2},
		{"two whole frames", 2 * wire.MaxPayload, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload := bytes.Repeat([]byte{0xab}, tc.size)
			sent := wire.Packet{Seq: 254, Payload: payload}
			raw := wire.AppendPacket(nil, sent)
			if want := tc.size + 4*tc.frames; len(raw) != want {
				t.Errorf("%d bytes on the wire, want %d", len(raw), want)
			}
			if want := byte((254 + tc.frames) % 256); sent.Next() != want {
				t.Errorf("Next() = %d, want %d", sent.Next(), want)
			}
			r := bytes.NewReader(append(raw, "next"...))
			got, err := wire.ReadPacket(r, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got.Seq != 254 || !bytes.Equal(got.Payload, payload) {
				t.Errorf("read seq %d and %d bytes", got.Seq, len(got.Payload))
			}
			if r.Len() != len("next") {
				t.Errorf("%d bytes left in the reader: it read too far or not far enough", r.Len())
			}
		})
	}
}

func TestReadPacketErrors(t *testing.T) {
	whole := bytes.Repeat([]byte{1}, wire.MaxPayload)
	split := wire.AppendPacket(nil, wire.Packet{Payload: whole})
	wrongSeq := bytes.Clone(split)
	wrongSeq[len(wrongSeq)-1] = 7
	for _, tc := range []struct {
		name  string
		raw   []byte
		limit int
		want  error
	}{
		{"nothing", nil, 0, io.EOF},
		{"half a header", []byte{1, 0}, 0, io.ErrUnexpectedEOF},
		{"no payload", []byte{3, 0, 0, 0}, 0, io.ErrUnexpectedEOF},
		{"half a payload", []byte{3, 0, 0, 0, 'a'}, 0, io.ErrUnexpectedEOF},
		{"no second frame", split[:len(split)-4], 0, io.ErrUnexpectedEOF},
		{"wrong sequence id within", wrongSeq, 0, wire.ErrMalformed},
		{"too large", []byte{3, 0, 0, 0, 'a', 'b', 'c'}, 2, wire.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := wire.ReadPacket(bytes.NewReader(tc.raw), tc.limit); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

func TestReadPacketByteByByte(t *testing.T) {
	var buf bytes.Buffer
	if err := wire.WritePacket(&buf, wire.Packet{Seq: 3, Payload: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	p, err := wire.ReadPacket(iotest.OneByteReader(&buf), 5)
	if err != nil || p.Seq != 3 || string(p.Payload) != "hello" {
		t.Errorf("%d %q, %v", p.Seq, p.Payload, err)
	}
}
