package driver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// canceler stops statements whose context has ended, with KILL QUERY. It has one
// connection per address, a few if the server is slow, made when it is needed first and
// closed when it was not for a while: however many statements are cancelled, they
// stand in line for it.
type canceler struct {
	connect func(ctx context.Context, addr string, victim *backend.Login) (*backend.Backend, error)
	most    int // connections per line

	mu     sync.Mutex
	lines  map[killPlace]*killLine
	closed bool
	ended  context.Context //nolint:containedctx // done when the cluster closes; ends what is under way
	end    context.CancelFunc

	running                     sync.WaitGroup
	killed, failed, connections atomic.Uint64
}

func (k *canceler) stats() CancelStats {
	return CancelStats{Killed: k.killed.Load(), Failed: k.failed.Load(), Connections: k.connections.Load()}
}

// killPlace is where statements are killed: a server, where only the same user may without a
// privilege.
type killPlace struct{ addr, user string }

func killPlaceOf(b *backend.Backend) killPlace {
	p := killPlace{addr: b.Addr()}
	if l := b.Login(); l != nil {
		p.user = l.User
	}
	return p
}

// killLine is the line before one server.
type killLine struct {
	requests chan killRequest
	workers  int // guarded by canceler.mu
}

type killRequest struct {
	id     uint32
	server string
	since  time.Time
	b      *backend.Backend
	done   chan error // has room for the answer
}

const (
	// killLineLength bounds the line; as many statements can run on an instance.
	killLineLength = 1024
	// killWorkers is how many connections a line may have: one KILL can take long
	// (MariaDB's has been seen to take 2 s), and those behind it must not wait for it.
	killWorkers = 4
	// killPatience is how long a KILL waits in line until another connection is made.
	killPatience = 15 * time.Millisecond
	// killIdle is how long a connection is kept for the next.
	killIdle = 30 * time.Second
	// killTimeout bounds one KILL and one connect. The caller waits far less long; what
	// is left is to end a query that would go on running for nobody.
	killTimeout = 5 * time.Second
)

func newCanceler(connect func(ctx context.Context, addr string, victim *backend.Login) (*backend.Backend, error)) *canceler {
	k := &canceler{connect: connect, most: killWorkers, lines: make(map[killPlace]*killLine)}
	k.ended, k.end = context.WithCancel(context.Background())
	return k
}

var errNoKill = errors.New("failoverproxy: the statement cannot be stopped by KILL QUERY")

// identify asks a server of a topology that does not, so that those can be told apart
// that answer at one address, behind a load balancer. A server that does not answer stays
// unknown: nothing is killed there.
func identify(ctx context.Context, b *backend.Backend) error {
	question := "SELECT @@server_uuid"
	if b.MariaDB() {
		question = "SELECT CONCAT(@@hostname, ':', @@port, '/', @@server_id, @@datadir)"
	}
	answer, err := b.Ask(ctx, question)
	if err == nil {
		b.Identify(fmt.Sprint(answer[0]))
	} else if !b.IsValid() {
		return err
	}
	return nil
}

// connectToKill makes the connection over which statements are killed.
func (cl *cluster) connectToKill(ctx context.Context, addr string, victim *backend.Login) (*backend.Backend, error) {
	b, err := cl.dialToKill(ctx, addr, victim)
	if err != nil {
		return nil, err
	}
	id, _, err := cl.monitor.Identify(ctx, b, addr)
	if err == nil && id == "" {
		err = identify(ctx, b)
	} else {
		b.Identify(id)
	}
	if err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// stop has the statement killed that runs on b, and waits for that until ctx ends.
func (k *canceler) stop(ctx context.Context, b *backend.Backend) error {
	id := b.ThreadID()
	if id == 0 || b.Identity() == "" {
		return errNoKill
	}
	r := killRequest{id: id, server: b.Identity(), since: time.Now(), b: b, done: make(chan error, 1)}
	if !k.enqueue(r) {
		return errNoKill
	}
	impatient := time.NewTimer(killPatience)
	defer impatient.Stop()
	for {
		select {
		case err := <-r.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-impatient.C:
			k.mu.Lock()
			if place := killPlaceOf(b); k.lines[place] != nil && len(k.lines[place].requests) > 0 {
				k.hireLocked(place, k.lines[place])
			}
			k.mu.Unlock()
		}
	}
}

func (k *canceler) enqueue(r killRequest) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	place := killPlaceOf(r.b)
	l := k.lines[place]
	if l == nil {
		l = &killLine{requests: make(chan killRequest, killLineLength)}
		k.lines[place] = l
		k.hireLocked(place, l)
	}
	r.b.AddPending(1)
	select {
	case l.requests <- r:
		return true
	default:
		r.b.AddPending(-1)
		return false
	}
}

// hireLocked gives a line another connection, if it may have one.
func (k *canceler) hireLocked(place killPlace, l *killLine) {
	if !k.closed && l.workers < k.most {
		l.workers++
		k.running.Go(func() { k.serve(place, l) })
	}
}

// serve kills what stands in line until nothing has for a while.
func (k *canceler) serve(place killPlace, l *killLine) {
	var b *backend.Backend
	drop := func() {
		if b != nil {
			_ = b.Close()
			b = nil
		}
	}
	defer drop()
	idle := time.NewTimer(killIdle)
	defer idle.Stop()
	for {
		select {
		case r := <-l.requests:
			err := k.kill(&b, r)
			if err != nil {
				k.failed.Add(1)
				drop()
			} else {
				k.killed.Add(1)
			}
			r.b.AddPending(-1)
			r.done <- err
			idle.Reset(killIdle)
		case <-idle.C:
			if k.retire(place, l) {
				return
			}
			idle.Reset(killIdle)
		case <-k.ended.Done():
			k.retire(place, l)
			return
		}
	}
}

// retire ends one worker of a line, and with the last the line, unless something has come.
func (k *canceler) retire(place killPlace, l *killLine) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.closed && len(l.requests) > 0 {
		r := <-l.requests
		r.b.AddPending(-1)
		r.done <- errNoKill
	}
	if len(l.requests) > 0 {
		return false
	}
	if l.workers--; l.workers == 0 {
		delete(k.lines, place)
	}
	return true
}

func (k *canceler) kill(b **backend.Backend, r killRequest) error {
	ctx, cancel := context.WithTimeout(k.ended, killTimeout)
	defer cancel()
	if *b == nil || (*b).ResetSession(ctx) != nil {
		if *b != nil {
			_ = (*b).Close()
			*b = nil
		}
		made, err := k.connect(ctx, r.b.Addr(), r.b.Login())
		if err != nil {
			return err
		}
		k.connections.Add(1)
		*b = made
		if time.Since(r.since) > killTimeout {
			return errNoKill // the server may have begun to count anew since
		}
	}
	if (*b).Identity() != r.server {
		return errNoKill // another server, where the number is another connection's
	}
	_, err := (*b).ExecContext(ctx, "KILL QUERY "+strconv.FormatUint(uint64(r.id), 10), nil)
	if failover.NoSuchThread(err) {
		return nil // it ended before
	}
	return err
}

// close ends everything and waits for it.
func (k *canceler) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.end()
	k.running.Wait()
}
