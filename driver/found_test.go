package driver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// keeping runs a switchover that leaves the writer's connections open.
func (r *rig) keeping() (wait func()) {
	done := make(chan error)
	go func() {
		done <- r.sim.Failover(r.Context(), aurorasim.Failover{Kind: aurorasim.Switchover, KeepConnections: true, PromoteAfter: time.Second})
	}()
	synctest.Wait()
	return func() { r.must(<-done) }
}

// TestFound holds what TestChaos has found, made as small as it goes.
func TestFound(t *testing.T) {
	for name, test := range map[string]struct {
		params string
		run    func(r *rig)
	}{
		"a write of a session with a backend of its own is not executed twice": {"fpPoolMode=session", func(r *rig) {
			r.sim.Writer().SwallowAnswer(aurorasim.SQL(insert))
			r.wants(r.exec(r.db, insert), failover.ErrOutcomeUnknown, failover.Unknown)
			if n := r.reached(insert); n != 1 {
				r.Errorf("executed %d times", n)
			}
		}},
		"nor is its read once rows were delivered": {"fpPoolMode=session", func(r *rig) {
			r.sim.Writer().CutAfter(3, aurorasim.SQL(selectRows))
			got, err := r.rows(r.Context(), r.db, selectRows)
			r.wants(err, failover.ErrResultInterrupted, failover.Unknown)
			if !slices.Equal(got, []int{1}) {
				r.Errorf("got %v", got)
			}
		}},
		"a connection is gone when a statement makes room for itself on it": {"fpPreparedCache=1", func(r *rig) {
			r.must(r.exec(r.db, "INSERT INTO t VALUES (?)", 1))
			r.sim.Writer().ResetConnections()
			if _, err := r.rows(r.Context(), r.db, "SELECT n FROM one WHERE n = ?", 1); err != nil {
				r.Error(err)
			}
		}},
		"a temporary table that a former writer refuses is made by the new one": {"", func(r *rig) {
			wait := r.keeping()
			r.must(r.exec(r.db, "CREATE TEMPORARY TABLE x (n INT)"))
			wait()
		}},
		"a context ends while another session asks what this one owes its connection": {"fpPoolSize=1", func(r *rig) {
			a, err := r.db.Conn(r.Context())
			r.must(err)
			defer a.Close()
			r.must(r.exec(a, "SET SESSION lock_wait_timeout = 77")) // which has to be read back
			f := r.sim.Writer().Freeze()
			done := make(chan error)
			go func() { done <- r.exec(r.db, insert) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			if err := a.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 150*time.Millisecond {
				r.Errorf("after %s: %v", time.Since(start), err)
			}
			f.Clear()
			r.must(<-done)
			r.must(a.PingContext(r.Context()))
		}},
		"a transaction that the server refuses to roll back ends with its connection": {"", func(r *rig) {
			c, err := r.db.Conn(r.Context())
			r.must(err)
			defer c.Close()
			tx, err := c.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(r.exec(tx, insert))
			r.sim.Writer().ErrorThenClose(1317, "Query execution was interrupted", aurorasim.SQL("ROLLBACK"))
			r.must(tx.Rollback())
			r.must(r.exec(c, update))
			tx, err = c.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(tx.Rollback())
		}},
		"an instance leaves its role while a connection is brought to a session's state": {"fpPoolSize=2", func(r *rig) {
			a, err := r.db.Conn(r.Context())
			r.must(err)
			defer a.Close()
			r.must(r.exec(a, "SET @x = 1"))
			// Others take its connection, and leave two without the variable.
			b, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			c, err := r.db.BeginTx(r.Context(), nil)
			r.must(err)
			r.must(b.Rollback())
			r.must(c.Rollback())
			set := func(s aurorasim.Statement) bool {
				return strings.Contains(s.SQL, "@x") || strings.Contains(s.SQL, "`x`")
			}
			held := r.sim.Writer().Delay(15*time.Millisecond, set)
			done := make(chan error)
			go func() { done <- r.exec(a, update) }()
			synctest.Wait()
			wait := r.keeping()
			r.must(r.exec(r.db, insert)) // finds out
			r.must(<-done)
			wait()
			if held.Hits() != 1 {
				r.Errorf("the variable was set %d times on the old writer", held.Hits())
			}
			for _, relay := range r.sim.Seen(update) {
				if relay.Instance == "instance-1" {
					r.Errorf("sent to the old writer: %+v", relay)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, test.params, test.run) })
	}
}
