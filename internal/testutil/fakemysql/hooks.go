package fakemysql

import (
	"context"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Side is the sender of a packet.
type Side byte

// The two sides.
const (
	FromClient Side = iota + 1
	FromServer
)

// Verdict is what a hook decides about a packet.
type Verdict byte

const (
	// Pass lets the packet, as it is in Packet.Payload now, go on.
	Pass Verdict = iota
	// Drop swallows it. From a client: the server never acts on it and sends
	// nothing. From the server: the rest of the answer goes on without it, and
	// its sequence id is given to the next.
	Drop
	// Cut closes the connection without sending it or acting on it.
	Cut
	// Reset is Cut with an RST in place of a FIN, where there is TCP.
	Reset
)

// Packet is what a hook sees. It belongs to the hook for the time of the call.
type Packet struct {
	Conn    uint32
	From    Side
	Seq     byte
	Payload []byte // a hook may change or replace it

	// Command is what the packet asks, or answers; wire.ComConnect during the
	// handshake, wire.ComSleep for the server's word to an idle client.
	Command wire.Command
	// SQL is the statement that Command is about, also for a COM_STMT_EXECUTE;
	// "" for commands without one.
	SQL string
	// Kind says what a server's packet is: a row, an OK... 0 during the
	// handshake and for a client's.
	Kind wire.Kind
	// Number counts the server's packets of this answer (or of the handshake)
	// before this one.
	Number int
}

// Hooks watch, and interfere with, every packet of every connection. They are
// called on the connection's own goroutine, never under a lock, and may block: a
// hook that sleeps (see Delay) delays its connection only. ctx ends with the
// connection. Both are optional. With hooks every packet is written by itself.
type Hooks struct {
	// Before is called before a packet of the server is written, and before the
	// server acts on one of the client. Its changes to Payload count.
	Before func(ctx context.Context, p *Packet) Verdict

	// After is called after a packet of the server was written, and after the
	// server has acted on one of the client and answered it. Of verdicts only
	// Cut and Reset mean anything by then.
	After func(ctx context.Context, p *Packet) Verdict
}

// Delay sleeps for d, or until ctx ends, and reports whether it slept through.
// For hooks and handlers.
func Delay(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
