package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

// foreign is what a backend has in place of a wire if somebody else made its connection, see
// Config.Make: the network connection is out of reach, so that nothing is known of bytes, the
// server cannot be asked to report changes, and nothing but the context of a statement can
// end it. That costs each statement a context of its own. Nil is none.
type foreign struct {
	release func() error
	running atomic.Pointer[context.CancelFunc] // ends the statement that runs
	cut     atomic.Bool
	life    context.Context    //nolint:containedctx // ends when it is cut, for what is no statement
	kill    context.CancelFunc // ends life

	threadID uint32
	mariaDB  bool
}

// foreign makes a backend of a connection that somebody else makes.
func (d *Dialer) foreign(ctx context.Context, addr string) (*Backend, error) {
	made, release, err := d.cfg.Make(ctx, addr)
	if err != nil {
		return nil, err
	}
	f := &foreign{release: release}
	f.life, f.kill = context.WithCancel(context.Background())
	b := &Backend{
		addr: addr, statements: statements{capacity: d.cfg.Statements},
		guard: d.guard(), foreign: f,
	}
	if err = d.adopt(b, made); err == nil {
		err = b.greet(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return b, nil
}

// greet asks for what a greeting says, which went by unseen.
func (b *Backend) greet(ctx context.Context) error {
	answer, err := b.Ask(ctx, "SELECT VERSION(), CONNECTION_ID()")
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(fmt.Sprint(answer[1]), 10, 32)
	if err != nil {
		return fmt.Errorf("failoverproxy: %s has no number for its connection: %w", b.addr, err)
	}
	b.foreign.threadID, b.foreign.mariaDB = uint32(id), strings.Contains(fmt.Sprint(answer[0]), "MariaDB")
	return nil
}

// begin makes the context for a statement one that can be ended.
func (f *foreign) begin(ctx context.Context) context.Context {
	if f == nil {
		return ctx
	}
	f.end()
	ctx, cancel := context.WithCancel(ctx)
	f.running.Store(&cancel)
	if f.cut.Load() {
		cancel()
	}
	return ctx
}

// end lets go of the context once the statement has ended: the wrapped driver looks at it no more.
func (f *foreign) end() {
	if f == nil {
		return
	}
	if cancel := f.running.Swap(nil); cancel != nil {
		(*cancel)()
	}
}

// interrupt ends the statement as if its context had ended: the wrapped driver closes the
// connection then.
func (f *foreign) interrupt() {
	f.cut.Store(true)
	f.kill()
	if cancel := f.running.Load(); cancel != nil {
		(*cancel)()
	}
}

// cuttable makes the context of a question of ours, which [Backend.Begin] has not seen, one that
// ends with the connection, too. done is to be called after the answer.
func (f *foreign) cuttable(ctx context.Context) (_ context.Context, done func()) {
	if f == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(f.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
