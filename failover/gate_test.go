package failover

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// wait waits at the gate and passes.
func wait(ctx context.Context, g *Gate, need Need) error {
	pass, err := g.Wait(ctx, need)
	if err == nil {
		pass()
	}
	return err
}

// balanced checks the gate's invariant.
func balanced(t *testing.T, g *Gate) GateCounters {
	t.Helper()
	c := g.Counters()
	if sum := c.Drained + c.TimedOut + c.Cancelled + c.Refused + uint64(c.Waiting); sum != c.Entered {
		t.Errorf("entered %d, but %d are accounted for: %+v", c.Entered, sum, c)
	}
	return c
}

func TestGate(t *testing.T) {
	const w, r = topology.Writer, topology.Reader
	for name, test := range map[string]func(t *testing.T){
		"first come, first served": func(t *testing.T) {
			g := NewGate(10)
			var mu sync.Mutex
			var order []int
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() {
					if err := wait(t.Context(), g, Need{Role: w, Seen: 1, Timeout: time.Hour}); err != nil {
						t.Error(err)
					}
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
				})
				synctest.Wait()
			}
			if c := balanced(t, g); c.Waiting != 5 {
				t.Errorf("waiting %d, want 5", c.Waiting)
			}
			g.Open(2, true, false)
			wg.Wait()
			if c := balanced(t, g); c.Drained != 5 {
				t.Errorf("drained %d, want 5", c.Drained)
			}
		},
		"one after the other": func(t *testing.T) {
			g := NewGate(10)
			passes := make(chan func())
			for i := range 3 {
				go func() {
					pass, err := g.Wait(t.Context(), Need{Role: w, Timeout: time.Hour - time.Duration(i)*time.Minute})
					if err != nil {
						t.Error(err)
					}
					passes <- pass
				}()
			}
			synctest.Wait()
			g.Open(1, true, false)
			for range 3 {
				pass := <-passes
				synctest.Wait()
				select {
				case <-passes:
					t.Error("the next one was let through before this one has passed")
				default:
				}
				pass()
			}
			balanced(t, g)
		},
		"whoever leaves does not hold up the others": func(t *testing.T) {
			g := NewGate(10)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 3)
			pass, hold := make(chan func(), 1), make(chan error)
			go func() {
				p, err := g.Wait(t.Context(), Need{Role: w, Timeout: time.Hour})
				pass <- p
				hold <- err
			}()
			synctest.Wait()
			go func() { done <- wait(ctx, g, Need{Role: w, Timeout: time.Hour}) }()
			synctest.Wait()
			go func() { done <- wait(t.Context(), g, Need{Role: w, Timeout: time.Hour}) }()
			synctest.Wait()
			g.Open(1, true, false)
			if err := <-hold; err != nil {
				t.Error(err)
			}
			cancel() // in second place
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			g.Open(2, false, false) // closed again
			(<-pass)()
			synctest.Wait()
			if c := balanced(t, g); c.Waiting != 1 {
				t.Errorf("let through a gate that is closed: %+v", c)
			}
			g.Open(3, true, false)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if c := balanced(t, g); c.Drained != 2 || c.Cancelled != 1 {
				t.Errorf("counters %+v", c)
			}
		},
		"a version seen already does not open it": func(t *testing.T) {
			g := NewGate(10)
			g.Open(3, true, true)
			if err := wait(t.Context(), g, Need{Role: w, Seen: 3, Timeout: time.Second}); !errors.Is(err, ErrGateTimeout) {
				t.Errorf("got %v, want a timeout", err)
			}
			if err := wait(t.Context(), g, Need{Role: w, Seen: 2, Timeout: time.Second}); err != nil {
				t.Errorf("a later version is open already: %v", err)
			}
			balanced(t, g)
		},
		"an older version changes nothing": func(t *testing.T) {
			g := NewGate(10)
			g.Open(5, false, false)
			g.Open(4, true, true)
			if err := wait(t.Context(), g, Need{Role: w, Seen: 1, Timeout: time.Second}); !errors.Is(err, ErrGateTimeout) {
				t.Errorf("got %v, want a timeout", err)
			}
			balanced(t, g)
		},
		"roles are apart": func(t *testing.T) {
			g := NewGate(10)
			g.Open(2, false, true)
			if err := wait(t.Context(), g, Need{Role: r, Seen: 1, Timeout: time.Second}); err != nil {
				t.Error(err)
			}
			if err := wait(t.Context(), g, Need{Role: w, Seen: 1, Timeout: time.Second}); !errors.Is(err, ErrGateTimeout) {
				t.Errorf("got %v, want a timeout", err)
			}
			balanced(t, g)
		},
		"full": func(t *testing.T) {
			g := NewGate(1)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- wait(ctx, g, Need{Role: w, Seen: 0, Timeout: time.Hour}) }()
			synctest.Wait()
			if err := wait(t.Context(), g, Need{Role: w, Seen: 0, Timeout: time.Hour}); !errors.Is(err, ErrGateFull) {
				t.Errorf("got %v, want ErrGateFull", err)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			if c := balanced(t, g); c.Waiting != 0 || c.Refused != 1 || c.Cancelled != 1 {
				t.Errorf("counters %+v", c)
			}
		},
		"a deadline wins over the timeout": func(t *testing.T) {
			g := NewGate(1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if err := wait(ctx, g, Need{Role: w, Seen: 0, Timeout: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if waited := time.Since(start); waited != time.Second {
				t.Errorf("waited %s", waited)
			}
			balanced(t, g)
		},
		"either role will do": func(t *testing.T) {
			g := NewGate(10)
			g.Open(2, false, true)
			if err := wait(t.Context(), g, Need{Role: topology.Unknown, Seen: 1, Timeout: time.Second}); err != nil {
				t.Error(err)
			}
			g.Open(3, true, false)
			if err := wait(t.Context(), g, Need{Role: topology.Unknown, Seen: 2, Timeout: time.Second}); err != nil {
				t.Error(err)
			}
			balanced(t, g)
		},
		"content with less after a while": func(t *testing.T) {
			g := NewGate(10)
			start := time.Now()
			if err := wait(t.Context(), g, Need{Role: w, Timeout: time.Minute, Content: time.Second}); err != nil || time.Since(start) != time.Second {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
			if err := wait(t.Context(), g, Need{Role: w, Timeout: time.Second, Content: time.Minute}); !errors.Is(err, ErrGateTimeout) {
				t.Errorf("got %v, want a timeout", err)
			}
			if c := balanced(t, g); c.Drained != 1 || c.TimedOut != 1 {
				t.Errorf("counters %+v", c)
			}
		},
		"closed": func(t *testing.T) {
			g := NewGate(1)
			done := make(chan error)
			go func() { done <- wait(t.Context(), g, Need{Role: w, Seen: 0, Timeout: time.Hour}) }()
			synctest.Wait()
			g.Close()
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
			if err := wait(t.Context(), g, Need{Role: w, Seen: 0, Timeout: time.Hour}); !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
			balanced(t, g)
		},
		"storm": func(t *testing.T) {
			g := NewGate(50)
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Second+time.Millisecond)
					defer cancel()
					_ = wait(ctx, g, Need{Role: topology.Role(i % 3), Seen: uint64(i % 5), Timeout: time.Duration(i%5)*time.Second + time.Millisecond, Content: time.Duration(i%2) * time.Second})
				})
			}
			for v := range uint64(8) {
				time.Sleep(700 * time.Millisecond)
				g.Open(v, v%3 == 0, v%2 == 0)
				balanced(t, g)
			}
			wg.Wait()
			if c := balanced(t, g); c.Entered != 200 || c.Waiting != 0 {
				t.Errorf("counters %+v", c)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}
