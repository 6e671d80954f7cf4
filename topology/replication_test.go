package topology

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// replica is what a fake server of a replication says of itself.
type replica struct {
	uuid, history string
	source        string // id of the server that it replicates from
	lag           any
	io            string // "" = Yes
	mute          bool   // the user may not ask for it
}

type namedRows struct {
	fakeRows
	names []string
}

func (r *namedRows) Columns() []string { return r.names }

// replicaAnswer is what a server of a replication answers.
func (c *cluster) replicaAnswer(s *server, query string) (driver.Rows, error) {
	row := []driver.Value{[]byte("9.7.0"), s.readOnly, int64(0), int64(1), []byte("host"), int64(3306), []byte("uuid-" + s.id), []byte(s.replica.history)}
	if s.replica.uuid != "" {
		row[6] = []byte(s.replica.uuid)
	}
	switch query {
	case replicationIdentity:
		return newRows(row[:7]), nil
	case replicationQuery:
		return newRows(row), nil
	case replicaStatus:
		if s.replica.mute {
			return nil, errForbidden
		}
		names := []string{"Source_Host", "Source_Port", "Source_UUID", "Source_Server_Id", "Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"}
		rows := &namedRows{names: names}
		if s.replica.source != "" {
			io := "Yes"
			if s.replica.io != "" {
				io = s.replica.io
			}
			rows.rows = append(rows.rows, []driver.Value{"elsewhere", int64(3306), "UUID-" + s.replica.source, int64(1), io, "Yes", s.replica.lag})
		}
		return rows, nil
	}
	return nil, fmt.Errorf("unknown query %q", query)
}

// replicated makes a cluster of a source, the first one, and its replicas.
func replicated(ids ...string) (*cluster, Config) {
	c := newCluster(ids...)
	cfg := Config{Provider: replicationName}
	for i, id := range ids {
		s := c.server(id)
		cfg.Seeds = append(cfg.Seeds, s.addr)
		s.readOnly, s.replica.history = i > 0, "uuid-a:1-9"
		if i > 0 {
			s.replica.source, s.replica.lag = ids[0], int64(0)
		}
	}
	return c, cfg
}

// states is the snapshot by the servers' short names.
func (w *watched) states(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := strings.ReplaceAll(w.Snapshot().String(), domain, ""); got != want {
		t.Fatalf("snapshot %q, want %q", got, want)
	}
}

func TestReplicationFailover(t *testing.T) {
	c, cfg := replicated("a", "b", "c")
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		w.states(t, "epoch 2: a writer up, b reader up, c reader up")
		w.steady(t, "a")
		a, b := c.look("a").addr, c.look("b").addr
		pass(12 * time.Second)
		if in := w.Snapshot().Lookup(b); !in.LagKnown || in.Lag != 0 || !in.ReadOnly {
			t.Errorf("%+v", in)
		}
		c.set("a", refusing)
		c.do("b", func(s *server) { s.replica.io, s.replica.lag = "Connecting", nil })
		w.Suspect(a, w.Snapshot().Epoch, ReasonConnectionLost)
		w.states(t, "epoch 3: a writer down, b reader up, c reader up")
		pass(time.Second)
		if in := w.Snapshot().Lookup(b); !in.LagKnown {
			t.Errorf("the lag that it had is forgotten with its source: %+v", in)
		}
		c.do("b", func(s *server) { s.readOnly, s.replica = false, replica{history: "uuid-a:1-9"} })
		pass(100 * time.Millisecond)
		w.states(t, "epoch 4: a reader down, b writer up, c reader up")
		w.steady(t, "b")
		w.told()
		// The old one is back and was not demoted; then the new one is lost, too.
		c.do("c", func(s *server) { s.replica.source, s.replica.history = "b", "uuid-a:1-9,uuid-b:1-3" })
		c.do("a", func(s *server) { s.mode, s.replica.history = healthy, "uuid-a:1-12" })
		pass(30 * time.Second)
		w.states(t, "epoch 4: a unknown up, b writer up, c reader up")
		w.Suspect(b, w.Snapshot().Epoch, ReasonConnectionLost)
		w.states(t, "epoch 4: a unknown up, b writer up, c reader up")
		if got := w.told(); len(got) != 6 || !strings.Contains(got[1], "not used until read-only once: "+a) {
			t.Errorf("told %q", got)
		}
		c.set("b", refusing)
		w.Suspect(b, w.Snapshot().Epoch, ReasonConnectionLost)
		pass(time.Minute)
		w.states(t, "epoch 5: a unknown up, b writer down, c reader up")
		c.set("b", healthy)
		pass(6 * time.Second)
		w.states(t, "epoch 6: a unknown up, b writer up, c reader up")
		c.do("a", func(s *server) { s.readOnly, s.replica.source = true, "b" })
		pass(11 * time.Second)
		w.states(t, "epoch 6: a reader up, b writer up, c reader up")
	})
}

func TestReplicationReadersInTurn(t *testing.T) {
	c, cfg := replicated("a", "b", "c")
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		before := map[string]int{"a": c.look("a").dials, "b": c.look("b").dials, "c": c.look("c").dials}
		c.do("c", func(s *server) { s.replica.lag = int64(7) })
		pass(10 * time.Minute)
		w.steady(t, "a")
		for id, n := range before {
			want := [2]int{54, 67}
			if id == "a" {
				want = [2]int{0, 0}
			}
			if got := c.look(id).dials - n; got < want[0] || got > want[1] {
				t.Errorf("%d dials to %s in ten quiet minutes, want %v", got, id, want)
			}
		}
		if in := w.Snapshot().Lookup(c.look("c").addr); !in.LagKnown || in.Lag != 7*time.Second {
			t.Errorf("%+v", in)
		}
		// A switchover that no statement meets.
		c.do("a", func(s *server) { s.readOnly = true })
		pass(6 * time.Second)
		c.do("b", func(s *server) { s.readOnly, s.replica.source = false, "" })
		pass(time.Second)
		w.states(t, "epoch 4: a reader up, b writer up, c reader up")
		w.steady(t, "b")
	})
}

// TestReplicationSplitBrainAtStart starts while two claim to be the writer.
func TestReplicationSplitBrainAtStart(t *testing.T) {
	for _, order := range [][]string{{"a", "b", "c"}, {"b", "c", "a"}, {"c", "a", "b"}} {
		c, cfg := replicated("b", "a", "c")
		cfg.Seeds = nil
		for _, id := range order {
			cfg.Seeds = append(cfg.Seeds, id+domain)
			c.server(id).replica.history = "uuid-a:1-9,uuid-b:1-3"
		}
		a := c.server("a")
		a.readOnly, a.replica = false, replica{history: "uuid-a:1-12"}
		a.delay, c.server("c").delay = 20*time.Millisecond, 200*time.Millisecond
		bubble(t, c, cfg, func(t *testing.T, w *watched) {
			w.discover(t)
			pass(time.Second)
			if got := w.Snapshot().Writer(); got == nil || got.ID != "b"+domain {
				t.Errorf("started at %s: %s", order[0], w.Snapshot())
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, change := range w.changes {
				if in := change.new.Writer(); in != nil && in.ID == "a"+domain {
					t.Errorf("started at %s, a was the writer: %s", order[0], change.new)
				}
			}
		})
	}
}

func TestReplicationWithoutPrivilege(t *testing.T) {
	c, cfg := replicated("a", "b")
	for _, s := range c.servers {
		s.replica.mute = true
	}
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		w.states(t, "epoch 2: a writer up, b reader up")
		pass(time.Minute)
		contains(t, w.log(), "GRANT REPLICATION CLIENT ON *.*: "+errForbidden.Error())
		if n := strings.Count(w.log(), "GRANT "); n != 1 {
			t.Errorf("warned %d times:\n%s", n, w.log())
		}
	})
}

// TestReplicationStartsWithoutOne starts with a member that lets nobody in.
func TestReplicationStartsWithoutOne(t *testing.T) {
	for _, m := range []mode{refusing, silent, busy} {
		c, cfg := replicated("a", "b")
		c.server("b").mode = m
		bubble(t, c, cfg, func(t *testing.T, w *watched) {
			w.discover(t)
			pass(1100 * time.Millisecond)
			if s := w.Snapshot(); s.Writer() == nil {
				t.Errorf("mode %d: %s", m, s)
			}
		})
	}
}

func TestReplicationIdentify(t *testing.T) {
	c, cfg := replicated("a", "b")
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, tc := range []struct {
			at   string
			role Role
			ok   bool
			do   func(*server)
		}{
			{at: "a", role: Writer, ok: true},
			{at: "b", role: Reader, ok: true},
			{at: "b", role: Writer},
			{at: "b", role: Reader, ok: true, do: func(s *server) { s.readOnly = false }}, // a replica without read_only
			{at: "b", role: Reader, do: func(s *server) { s.replica.uuid = "other" }},
		} {
			if tc.do != nil {
				c.do(tc.at, tc.do)
			}
			addr, s := tc.at+domain, c.look(tc.at)
			conn := &fakeConn{cluster: c, server: &s}
			known, err := w.Verify(ctx, conn, addr, tc.role)
			if known || (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrIdentity) {
				t.Errorf("%+v: %t, %v", tc, known, err)
			}
		}
	})
}

func TestReplicationProbe(t *testing.T) {
	status := func(names string, values ...any) *namedRows {
		r := &namedRows{names: strings.Fields(names)}
		row := make([]driver.Value, len(values))
		for i, v := range values {
			row[i] = v
		}
		r.rows = [][]driver.Value{row}
		return r
	}
	const (
		old = "Connection_name Master_Host Master_Port Master_Server_Id Slave_IO_Running Slave_SQL_Running Seconds_Behind_Master"
		new = "Source_Host Source_Port Source_UUID Source_Server_Id Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source"
	)
	mysql := []driver.Value{"9.7.4", int64(1), int64(0), int64(7), "db-7", int64(3306), "UU-7", "UU-1:1-5"}
	maria := []driver.Value{"10.11.6-MariaDB", "NO_LOCK", int64(0), int64(7), "db-7", int64(3306), "", "0-1-5"}
	self := Server{UUID: "uu-7", Number: "7", Addr: "db-7:3306"}
	source := Server{UUID: "uu-1", Number: "1", Addr: "10.0.0.1:3306"}
	for name, tc := range map[string]struct {
		row     []driver.Value
		query   string
		status  *namedRows
		sources []Server
		lag     time.Duration
		known   bool
		adrift  bool
	}{
		"well":           {mysql, replicaStatus, status(new, "10.0.0.1", int64(3306), "UU-1", int64(1), "Yes", "Yes", "3"), []Server{source}, 3 * time.Second, true, false},
		"source lost":    {mysql, replicaStatus, status(new, "10.0.0.1", int64(3306), "UU-1", int64(1), "Connecting", "Yes", nil), []Server{source}, 0, false, true},
		"applier broken": {mysql, replicaStatus, status(new, "10.0.0.1", int64(3306), "UU-1", int64(1), "Yes", "No", nil), []Server{source}, 0, false, false},
		"stopped":        {mysql, replicaStatus, status(new, "10.0.0.1", int64(3306), "UU-1", int64(1), "No", "No", nil), nil, 0, false, false},
		"all broken":     {mysql, replicaStatus, status(new+" Last_SQL_Errno", "10.0.0.1", int64(3306), "UU-1", int64(1), "No", "No", nil, int64(1062)), []Server{source}, 0, false, false},
		"all stopped":    {mysql, replicaStatus, status(new+" Last_SQL_Errno", "10.0.0.1", int64(3306), "UU-1", int64(1), "No", "No", nil, int64(0)), nil, 0, false, false},
		"a group":        {mysql, replicaStatus, status(new, "", int64(0), "", int64(0), "Yes", "Yes", "0"), nil, 0, false, false},
		"older":          {append([]driver.Value{"8.0.21-log"}, mysql[1:]...), slaveStatus, status(strings.TrimPrefix(old, "Connection_name "), "10.0.0.1", int64(3306), int64(1), "Yes", "Yes", "1"), []Server{{Number: "1", Addr: "10.0.0.1:3306"}}, time.Second, true, false},
		"MariaDB":        {maria, allSlaveStatus, status(old, "x", "10.0.0.1", int64(3306), int64(1), "Yes", "Yes", int64(2)), []Server{{Number: "1", Addr: "10.0.0.1:3306"}}, 2 * time.Second, true, false},
	} {
		p := newReplication(Config{Explain: explain})
		r, err := p.Probe(t.Context(), script{replicationQuery: newRows(tc.row), tc.query: tc.status}, "a:3306")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := self
		if name == "MariaDB" {
			want.UUID = ""
		}
		if r.ID != "a:3306" || r.Role != Reader || !r.ReadOnly || r.Lineage.Self != want || r.Lineage.History != tc.row[7] {
			t.Errorf("%s: %+v %+v", name, r, r.Lineage)
		}
		if !slices.Equal(r.Lineage.Sources, tc.sources) || r.Lag != tc.lag || r.LagKnown != tc.known || r.Lineage.Adrift != tc.adrift {
			t.Errorf("%s: %+v %+v", name, r, r.Lineage)
		}
	}
	// Two sources: as far behind as behind the one that is further away.
	two := status(old, "x", "10.0.0.1", int64(3306), int64(1), "Yes", "Yes", int64(2))
	two.rows = append(two.rows, []driver.Value{"y", "10.0.0.2", int64(3306), int64(2), "Yes", "Yes", int64(9)})
	r, err := newReplication(Config{Explain: explain}).Probe(t.Context(), script{replicationQuery: newRows(maria), allSlaveStatus: two}, "a:3306")
	if err != nil || len(r.Lineage.Sources) != 2 || r.Lag != 9*time.Second || !r.LagKnown {
		t.Errorf("two sources: %+v, %v", r, err)
	}
}

// script answers queries, each once.
type script map[string]driver.Rows

func (s script) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if rows := s[query]; rows != nil {
		return rows, nil
	}
	return nil, fmt.Errorf("unknown query %q", query)
}
func (script) Close() error { return nil }
