package backend

import (
	"context"
	"sync/atomic"
)

// foreign is what a backend has in place of a wire if somebody else made its connection, see
// Config.Make: the network connection is out of reach, so that nothing is known of bytes, the
// server cannot be asked to report changes, and nothing but the context of a statement can
// end it. That costs each statement a context of its own.
type foreign struct {
	release func() error
	running atomic.Pointer[context.CancelFunc] // ends the statement that runs
	cut     atomic.Bool
}

// foreign makes a backend of a connection that somebody else makes.
func (d *Dialer) foreign(ctx context.Context, addr string) (*Backend, error) {
	made, release, err := d.cfg.Make(ctx, addr)
	if err != nil {
		return nil, err
	}
	b := &Backend{addr: addr, statements: statements{capacity: d.cfg.Statements}, foreign: &foreign{release: release}}
	if err := d.adopt(b, made); err != nil {
		_ = release()
		return nil, err
	}
	return b, nil
}

// begin makes the statement's context one that the connection can be cut by.
func (f *foreign) begin(ctx context.Context) context.Context {
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
	if cancel := f.running.Swap(nil); cancel != nil {
		(*cancel)()
	}
}

// interrupt ends the statement as if its context had ended: the wrapped driver closes the
// connection then.
func (f *foreign) interrupt() {
	f.cut.Store(true)
	if cancel := f.running.Load(); cancel != nil {
		(*cancel)()
	}
}

// close gives the connection back to whom it is of.
func (f *foreign) close() error {
	f.end()
	return f.release()
}
