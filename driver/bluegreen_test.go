package driver

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/internal/testutil/ledger"
)

// coloured is our driver under a small load in front of a blue/green deployment, in a bubble.
type coloured struct {
	*deployed
	*aurorasim.BlueGreen
	log *syncBuffer
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// colour runs happen in the tenth second of load, lets it go on for three minutes, and has
// the ledger judged.
func colour(t *testing.T, config aurorasim.Config, params string, happen, check func(c *coloured)) {
	t.Helper()
	still(t, config, "fpFailoverTimeout=1m&"+params, func(c *coloured) {
		c.book = ledger.New(ledger.WithClassifier(fateOf))
		if err := c.book.Setup(c.Context(), c.db); err != nil {
			c.Fatal(err)
		}
		stop := c.load()
		time.Sleep(10 * time.Second)
		happen(c)
		time.Sleep(30 * time.Second)
		stop()
		check(c)
		verdict, err := c.book.Judge(c.Context(), c.db)
		if err != nil || !verdict.OK() || len(c.errs) > 0 {
			c.Errorf("ledger %s, %v; errors of reads: %v", verdict, err, c.errs)
		}
		c.Logf("%s; %d writes; first %s after green took them; %s", verdict, len(c.writes), c.firstWrite(c.WritableAt()), c.c.Snapshot())
		if g := c.c.Stats().Gate; g.Entered != g.Drained || g.Waiting != 0 {
			c.Errorf("gate: %+v", g)
		}
	})
}

// open makes the connector.
func (c *coloured) open(params string) {
	c.Helper()
	cfg, err := ParseDSN("u:secret@tcp(" + c.Endpoint() + ")/shop?fpPoolSize=4&" + params)
	if err != nil {
		c.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(c.log, nil))
	if c.c, err = NewConnector(cfg, WithLogger(logger), WithDialer(c.DialContext)); err != nil {
		c.Fatal(err)
	}
	c.db = sql.OpenDB(c.c)
}

// strayed are the statements of the application that blue received after a moment.
func (c *coloured) strayed(since time.Time) (n int) {
	for _, r := range c.Blue.Relays(nil) {
		if r.Executes() && !r.Received.Before(since) && strings.Contains(r.SQL, "fp_") {
			n++
		}
	}
	return n
}

// said checks that the log has a line for each, once.
func (c *coloured) said(lines ...string) {
	c.Helper()
	for _, line := range lines {
		if n := strings.Count(c.log.String(), line); n != 1 {
			c.Errorf("%d lines of the log with %q, want 1", n, line)
		}
	}
}

func (c *coloured) switchover(s aurorasim.BlueGreenSwitchover) {
	c.Helper()
	if err := c.Switchover(c.Context(), s); err != nil {
		c.Fatal(err)
	}
}

var colours = map[string]aurorasim.Config{
	"aurora": {Deployment: aurorasim.Aurora},
	"dns":    {Deployment: aurorasim.MultiAZInstance, Instances: 1},
}

// brisk is a switchover whose aftermath does not take as long as usual: less load to carry.
func brisk() aurorasim.BlueGreenSwitchover {
	s := aurorasim.Usual
	s.RenameAfter, s.DNSAfter, s.NamelessAfter, s.CompletedAfter = 8*time.Second, 12*time.Second, 20*time.Second, 21*time.Second
	return s
}

func TestBlueGreen(t *testing.T) {
	for provider, config := range colours {
		for name, tc := range map[string]struct {
			change func(*aurorasim.BlueGreenSwitchover)
			within time.Duration // of green's taking writes, the first write; 0 = 150ms
		}{
			"as usual":          {change: func(s *aurorasim.BlueGreenSwitchover) { *s = aurorasim.Usual }},
			"connections stay":  {change: func(s *aurorasim.BlueGreenSwitchover) { s.KeepConnections = true }},
			"names are at once": {change: func(s *aurorasim.BlueGreenSwitchover) { s.RenameAfter, s.DNSAfter = s.WritableAfter, s.WritableAfter }},
			"green is late":     {change: func(s *aurorasim.BlueGreenSwitchover) { s.WritableAfter = 10 * time.Second }},
			"no time is lost": {
				// With dns a look is 500 ms after the other unless one is known to be due.
				change: func(s *aurorasim.BlueGreenSwitchover) { s.Initiated, s.InProgress, s.WritableAfter = 0, 0, 0 },
				within: 560 * time.Millisecond,
			},
		} {
			t.Run(provider+"/"+name, func(t *testing.T) {
				t.Parallel()
				script, within := brisk(), max(tc.within, 150*time.Millisecond)
				tc.change(&script)
				colour(t, config, "fpTopology="+provider, func(c *coloured) { c.switchover(script) }, func(c *coloured) {
					first := c.firstWrite(c.WritableAt())
					if first > within {
						c.Errorf("the first write came %s after green took writes", first)
					}
					if n := c.strayed(c.WritableAt()); n > 0 && tc.within == 0 {
						c.Errorf("%d statements on blue after green took writes", n)
					}
					if n := c.strayed(c.WritableAt().Add(first)); n > 0 {
						c.Errorf("%d statements on blue after the first write on green", n)
					}
					if n := c.Green.Writer().Stats().Refused; n > 0 {
						c.Errorf("green refused %d writes: they came too early", n)
					}
					c.said(`detail="AVAILABLE, green is`, `detail="switched to green"`, `detail="all names lead to green"`)
					if n := c.c.Stats().MonitorConnections; provider == "aurora" && n != 1 {
						c.Errorf("%d connections of the monitor", n)
					}
				})
			})
		}
	}
}

// TestBlueGreenRollback: blue goes on, and nobody has lost anything but time.
func TestBlueGreenRollback(t *testing.T) {
	for provider, config := range colours {
		t.Run(provider, func(t *testing.T) {
			script := brisk()
			script.Rollback = true
			var back time.Time
			colour(t, config, "fpTopology="+provider, func(c *coloured) {
				c.switchover(script)
				back = time.Now()
			}, func(c *coloured) {
				if first := c.firstWrite(back); first > 650*time.Millisecond {
					c.Errorf("the first write came %s after the end", first)
				}
				c.said(`detail="AVAILABLE: the switchover was rolled back`)
				if n := c.Green.Count(aurorasim.Contains("fp_")); n > 0 {
					c.Errorf("%d statements on green", n)
				}
			})
		})
	}
}

// still runs a test with a deployment and no load.
func still(t *testing.T, config aurorasim.Config, params string, test func(c *coloured)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config.Upstream, config.Network = aurorasim.Fake(), aurorasim.Memory
		bg, err := aurorasim.StartBlueGreen(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer bg.Close()
		c := &coloured{deployed: &deployed{T: t, sim: bg.Blue}, BlueGreen: bg, log: &syncBuffer{}}
		c.open(params)
		defer c.db.Close()
		test(c)
		if t.Failed() {
			t.Log(c.log)
		}
	})
}

// TestBlueGreenLateStart: a process starts in each phase, and is with green in the end. From the
// time when blue takes no writes none of its statements reach blue.
func TestBlueGreenLateStart(t *testing.T) {
	for provider, config := range colours {
		for name, after := range map[string]time.Duration{
			"initiated": time.Second, "in progress": 3500 * time.Millisecond, "nobody gets in": 6 * time.Second, "blue is back": 9 * time.Second,
			"post": 15 * time.Second, "renamed": 30 * time.Second, "names are right": 50 * time.Second,
			"old names are gone": 137 * time.Second, "over": 145 * time.Second,
		} {
			t.Run(provider+"/"+name, func(t *testing.T) {
				still(t, config, "fpTopology="+provider, func(c *coloured) {
					var script sync.WaitGroup
					script.Go(func() { c.switchover(aurorasim.Usual) })
					time.Sleep(after)
					ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
					defer cancel()
					if _, err := c.db.ExecContext(ctx, "CREATE TABLE fp_late (n INT)"); err != nil {
						c.Error(err)
					}
					script.Wait()
					if _, err := c.db.ExecContext(ctx, "INSERT INTO fp_late VALUES (1)"); after < time.Minute && ctx.Err() == nil && err != nil {
						c.Error(err)
					}
					if n := c.strayed(time.Time{}); n > 0 && after > 3*time.Second {
						c.Errorf("%d statements on blue", n)
					}
				})
			})
		}
	}
}

// TestBlueGreenLateReaders: a process that starts when green's instances have their last names already
// reads on green's readers as soon as these names lead there, and not when the old ones are gone.
func TestBlueGreenLateReaders(t *testing.T) {
	for name, after := range map[string]time.Duration{"renamed": 30 * time.Second, "names are right": 50 * time.Second} {
		t.Run(name, func(t *testing.T) {
			still(t, colours["aurora"], "fpTarget=auto&fpTopology=aurora", func(c *coloured) {
				var script sync.WaitGroup
				script.Go(func() { c.switchover(aurorasim.Usual) })
				time.Sleep(after)
				// So that the readers have been found before it is known that they are green's.
				c.Green.Writer().Delay(10*time.Millisecond, aurorasim.Contains("rds_topology"))
				query := func() (id string) {
					if err := c.db.QueryRowContext(c.Context(), "SELECT @@aurora_server_id").Scan(&id); err != nil {
						c.Error(err)
					}
					return id
				}
				for range 20 {
					query()
					time.Sleep(time.Second)
				}
				readers := make(map[string]bool)
				for range 50 {
					readers[query()] = true
				}
				if !readers["instance-2"] || !readers["instance-3"] || len(readers) != 2 {
					c.Errorf("read on %v: %s", readers, c.c.Snapshot())
				}
				script.Wait()
			})
		})
	}
}

// TestBlueGreenFrozen: a process, as by SIGSTOP, sees nothing of the switchover but its end.
// There is no such thing in a bubble: what it comes back to is a monitor that has not
// polled and connections that were lost, or one whose own connection was not: then who
// connects to blue is the first to see it.
func TestBlueGreenFrozen(t *testing.T) {
	kept := aurorasim.Usual
	kept.KeepConnections = true
	for provider, config := range colours {
		for name, s := range map[string]aurorasim.BlueGreenSwitchover{"lost": aurorasim.Usual, "kept": kept} {
			t.Run(provider+"/"+name, func(t *testing.T) {
				still(t, config, "fpProbeInterval=1h&fpPoolIdleTimeout=1s&fpTarget=auto&fpTopology="+provider, func(c *coloured) {
					exec := func(query string) {
						c.Helper()
						if _, err := c.db.ExecContext(c.Context(), query); err != nil {
							c.Error(err)
						}
					}
					exec("CREATE TABLE fp_frozen (n INT)")
					var script sync.WaitGroup
					script.Go(func() { c.switchover(s) })
					time.Sleep(25 * time.Second) // green takes writes, and names still lead to blue
					since := time.Now()
					var n int
					if err := c.db.QueryRowContext(c.Context(), "SELECT COUNT(*) FROM fp_frozen").Scan(&n); err != nil {
						c.Error(err)
					}
					exec("INSERT INTO fp_frozen VALUES (1)")
					if took := time.Since(since); took > time.Second {
						c.Errorf("took %s", took)
					}
					if n := c.strayed(since); n > 0 {
						c.Errorf("%d statements on blue", n)
					}
					script.Wait()
					exec("INSERT INTO fp_frozen VALUES (1)")
				})
			})
		}
	}
}

// TestBlueGreenLeavesBlue: what runs on a reader of blue, which the switchover does not end, ends when green is the
// cluster. Nothing of it goes on with what blue has.
func TestBlueGreenLeavesBlue(t *testing.T) {
	still(t, colours["aurora"], "fpTarget=auto&fpTopology=aurora", func(c *coloured) {
		if _, err := c.db.ExecContext(c.Context(), "CREATE TABLE fp_left (n INT)"); err != nil {
			c.Fatal(err)
		}
		time.Sleep(time.Second) // until readers may read it
		tx, err := c.db.BeginTx(c.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			c.Fatal(err)
		}
		var n int
		count := func() error { return tx.QueryRowContext(c.Context(), "SELECT COUNT(*) FROM fp_left").Scan(&n) }
		if err := count(); err != nil {
			c.Error(err)
		}
		var script sync.WaitGroup
		script.Go(func() {
			s := aurorasim.Usual
			s.KeepConnections = true
			c.switchover(s)
		})
		time.Sleep(9 * time.Second)
		if err := count(); err != nil {
			c.Errorf("while it is held: %v", err)
		}
		time.Sleep(6 * time.Second)
		since := time.Now()
		if err := count(); !errors.Is(err, failover.ErrTransactionLost) {
			c.Errorf("after it: %v", err)
		}
		if err := tx.Rollback(); err != nil {
			c.Error(err)
		}
		if n := c.strayed(since); n > 0 {
			c.Errorf("%d statements on blue", n)
		}
		script.Wait()
	})
}

// TestBlueGreenUnreachable: green cannot be reached. Statements end by their own limits, and when it
// can be reached, all is well.
func TestBlueGreenUnreachable(t *testing.T) {
	for provider, config := range colours {
		t.Run(provider, func(t *testing.T) {
			still(t, config, "fpFailoverTimeout=5s&fpTopology="+provider, func(c *coloured) {
				if _, err := c.db.ExecContext(c.Context(), "CREATE TABLE fp_hole (n INT)"); err != nil {
					c.Error(err)
				}
				time.Sleep(10 * time.Second)
				var script sync.WaitGroup
				script.Go(func() { c.switchover(aurorasim.Usual) })
				time.Sleep(9 * time.Second)
				hole := c.Green.Writer().BlackHole()
				c.Green.Writer().ResetConnections()
				time.Sleep(5 * time.Second)
				since := time.Now()
				_, err := c.db.ExecContext(c.Context(), "INSERT INTO fp_hole VALUES (1)")
				var fe *failover.Error
				if took := time.Since(since); !errors.As(err, &fe) || fe.Outcome != failover.NotExecuted || took != 5*time.Second {
					c.Errorf("%v after %s", err, took)
				}
				hole.Clear()
				time.Sleep(2 * time.Second)
				since = time.Now()
				if _, err := c.db.ExecContext(c.Context(), "INSERT INTO fp_hole VALUES (1)"); err != nil || time.Since(since) > 100*time.Millisecond {
					c.Errorf("%v after %s", err, time.Since(since))
				}
				script.Wait()
			})
		})
	}
}

// TestBlueGreenBlind: the monitor's connection is lost in the middle, and it gets no other one to blue.
func TestBlueGreenBlind(t *testing.T) {
	for provider, config := range colours {
		t.Run(provider, func(t *testing.T) {
			script := brisk()
			colour(t, config, "fpProbeInterval=8s&fpTopology="+provider, func(c *coloured) {
				var blind sync.WaitGroup
				blind.Go(func() {
					time.Sleep(script.Initiated + script.InProgress/2)
					for _, i := range c.Blue.Instances() {
						i.BlackHole()
						i.Freeze()
					}
				})
				c.switchover(script)
				blind.Wait()
			}, func(c *coloured) {
				if first := c.firstWrite(c.WritableAt()); first > 150*time.Millisecond {
					c.Errorf("the first write came %s after green took writes", first)
				}
			})
		})
	}
}

// TestBlueGreenDenied: without the privilege it is a failover that is over when DNS has changed.
func TestBlueGreenDenied(t *testing.T) {
	still(t, colours["dns"], "fpFailoverTimeout=1m&fpTopology=dns", func(c *coloured) {
		c.Blue.DenyView("u")
		c.Green.DenyView("u")
		if _, err := c.db.ExecContext(c.Context(), "CREATE TABLE fp_denied (n INT)"); err != nil {
			c.Error(err)
		}
		var script sync.WaitGroup
		script.Go(func() { c.switchover(aurorasim.Usual) })
		time.Sleep(20 * time.Second)
		since := time.Now()
		if _, err := c.db.ExecContext(c.Context(), "INSERT INTO fp_denied VALUES (1)"); err != nil || time.Since(since) < 20*time.Second || time.Since(since) > 23*time.Second {
			c.Errorf("%v after %s", err, time.Since(since))
		}
		script.Wait()
		if strings.Contains(c.log.String(), "blue/green") {
			c.Error("something was known")
		}
	})
}

// TestBlueGreenTLS: certificates have green's names before, and blue's after, but at no time is one for
// neither taken.
func TestBlueGreenTLS(t *testing.T) {
	for provider, config := range colours {
		t.Run(provider, func(t *testing.T) {
			config.RequireTLS = true
			synctest.Test(t, func(t *testing.T) {
				config.Upstream, config.Network = aurorasim.Fake(), aurorasim.Memory
				bg, err := aurorasim.StartBlueGreen(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				defer bg.Close()
				c := &coloured{deployed: &deployed{T: t, sim: bg.Blue}, BlueGreen: bg, log: &syncBuffer{}}
				cfg, err := ParseDSN("u:secret@tcp(" + c.Endpoint() + ")/shop?fpFailoverTimeout=2s&tls=true&fpPoolMaxIdle=0&fpTopology=" + provider)
				if err != nil {
					t.Fatal(err)
				}
				cfg.MySQL.TLS = &tls.Config{RootCAs: bg.Blue.Authority(), MinVersion: tls.VersionTLS12}
				if c.c, err = NewConnector(cfg, WithLogger(slog.New(slog.NewTextHandler(c.log, nil))), WithDialer(c.DialContext)); err != nil {
					t.Fatal(err)
				}
				c.db = sql.OpenDB(c.c)
				defer c.db.Close()
				var script sync.WaitGroup
				script.Go(func() { c.switchover(aurorasim.Usual) })
				fails := 0
				for range 60 {
					if _, err := c.db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS fp_tls (n INT)"); err != nil {
						fails++
						t.Logf("%s: %v", time.Now().Format("05.000"), err)
					}
					time.Sleep(time.Second)
				}
				if fails > 3 { // those that waited longer than two of the eight seconds
					t.Errorf("%d statements failed", fails)
				}
				if n := c.strayed(c.WritableAt()); n > 0 {
					t.Errorf("%d statements on blue", n)
				}
				script.Wait()
				if t.Failed() {
					t.Log(c.log)
				}
			})
		})
	}
}
