package aurorasim

import (
	"context"
	"testing"
	"time"
)

// TestLogins lets faults hit the login.
func TestLogins(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		i := r.Writer()
		for name, fault := range map[string]struct {
			begin func() *Fault
			errno uint16
			mute  bool
		}{
			"error":     {func() *Fault { return i.ErrorThenClose(1129, "Host is blocked", Logins) }, 1129, false},
			"swallowed": {func() *Fault { return i.SwallowAnswer(Logins) }, 0, false},
			"muted":     {func() *Fault { return i.MuteAnswer(Logins) }, 0, true},
			"cut":       {func() *Fault { return i.CutAfter(0, Logins) }, 0, false},
			"cut muted": {func() *Fault { return i.MuteAfter(0, Logins) }, 0, true},
			"cut short": {func() *Fault { return i.ErrorAfter(0, 1053, "Server shutdown in progress", Logins) }, 1053, false},
		} {
			t.Run(name, func(t *testing.T) {
				f := fault.begin()
				db := r.open(i.Addr())
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				err := db.PingContext(ctx)
				if err == nil || errno(err) != fault.errno || (ctx.Err() != nil) != fault.mute || f.Hits() != 1 {
					t.Errorf("%v, errno %d, %d hits", err, errno(err), f.Hits())
				}
				f.Clear()
				wantShow(t, r.conn(i.Addr()), "1", "SELECT 1") // one login was hit
			})
		}
		f := i.Delay(20*time.Millisecond, Logins)
		start := time.Now()
		c := r.conn(i.Addr())
		if took := time.Since(start); took < 20*time.Millisecond || f.Hits() != 1 {
			t.Errorf("a login that is delayed takes %v, %d hits", took, f.Hits())
		}
		wantShow(t, c, "1", "SELECT 1")
	})
}

// TestEndsOfCuts ends answers in the middle with an error, and with silence.
func TestEndsOfCuts(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		i := r.Writer()
		exec(t, r.open(i.Addr()), "INSERT INTO fp_accounts (id, balance) VALUES (2, 200)")
		read := func(ctx context.Context) (rows int, err error) {
			result, err := r.conn(i.Addr()).QueryContext(ctx, "SELECT id FROM fp_accounts")
			if err != nil {
				return 0, err
			}
			defer result.Close()
			for result.Next() {
				rows++
			}
			return rows, result.Err()
		}
		// A column count, a definition, a row.
		i.ErrorAfter(3, 1053, "Server shutdown in progress", Contains("fp_accounts"))
		if rows, err := read(t.Context()); rows != 1 || errno(err) != 1053 {
			t.Errorf("%d rows, %v", rows, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		i.MuteAfter(3, Contains("fp_accounts"))
		if rows, err := read(ctx); rows != 1 || err == nil || ctx.Err() == nil {
			t.Errorf("%d rows, %v before the context ended", rows, err)
		}
		// The relay's own answers, of one packet.
		i.ErrorAfter(0, 1927, "Connection was killed", Contains("aurora_server_id"))
		if err := try(t, r.conn(i.Addr()), "SELECT @@aurora_server_id"); errno(err) != 1927 {
			t.Errorf("the relay's own answer: %v", err)
		}
		if rows, err := read(t.Context()); rows != 2 || err != nil {
			t.Errorf("afterwards %d rows, %v", rows, err)
		}
	})
}
