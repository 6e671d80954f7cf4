package topology

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSeesItselfOnly: an instance that knows of nobody else takes nothing away from what is known,
// and is no writer for it.
func TestSeesItselfOnly(t *testing.T) {
	t.Run("a reader at the start", func(t *testing.T) {
		c := newCluster("a", "b")
		c.names[endpoint] = "b" + domain // an old DNS entry
		c.do("a", func(s *server) { s.gone = true })
		bubble(t, c, Config{}, func(t *testing.T, w *watched) {
			w.discover(t)
			w.expect(t, "epoch 1: b reader up")
			pass(30 * time.Second)
			w.expect(t, "epoch 1: b reader up")
			c.do("a", func(s *server) { s.gone = false })
			pass(time.Second)
			w.expect(t, "epoch 3: a writer up, b reader up")
		})
	})
	t.Run("a reader in doubt", func(t *testing.T) {
		c := newCluster("a", "b", "c")
		bubble(t, c, Config{}, func(t *testing.T, w *watched) {
			w.discover(t)
			c.do("a", func(s *server) { s.gone = true })
			c.do("c", func(s *server) { s.gone = true })
			c.set("a", silent)
			w.Suspect("a", w.Snapshot().Epoch, ReasonConnectionLost)
			pass(3 * time.Second)
			w.expect(t, "epoch 3: b reader up, c reader up") // the dead one is not in any list any more
			c.do("c", func(s *server) { s.gone = false })
			c.do("a", func(s *server) { s.gone, s.mode = false, healthy })
			pass(time.Second)
			w.expect(t, "epoch 5: a writer up, b reader up, c reader up")
		})
	})
	t.Run("the writer", func(t *testing.T) {
		c := newCluster("a")
		bubble(t, c, Config{}, func(t *testing.T, w *watched) {
			w.discover(t)
			pass(time.Minute)
			w.expect(t, "epoch 1: a writer up")
			w.steady(t, "a")
		})
	})
	t.Run("one of a group", func(t *testing.T) {
		r, err := newGroup(Config{Explain: explain}).Probe(t.Context(), canned{rows: groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0")}, "seed:3306")
		if err != nil || r.Role != Writer || len(r.Members) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestDuplicates: what is listed twice is there once.
func TestDuplicates(t *testing.T) {
	t.Run("aurora", func(t *testing.T) {
		c := newCluster("a", "b")
		for _, session := range []string{"s", masterSession} { // and one of them says that b is the writer
			c.extra = append(c.extra, []driver.Value{[]byte("b"), []byte(session), []byte("2000-01-01 00:00:00"), nil, nil})
		}
		bubble(t, c, Config{}, func(t *testing.T, w *watched) {
			w.discover(t)
			pass(time.Minute)
			w.expect(t, "epoch 1: a writer up, b reader up")
			if in := w.Snapshot().Lookup("b"); !in.LagKnown {
				t.Errorf("%+v", in)
			}
		})
	})
	t.Run("groupReplication", func(t *testing.T) {
		rows := groupRows("a", "0", begunAt, "a ONLINE PRIMARY 0", "b ONLINE SECONDARY 0", "c ONLINE SECONDARY 0")
		rows.rows[2][1] = []byte("db-b") // whose report_host was copied
		r, err := newGroup(Config{Explain: explain}).Probe(t.Context(), canned{rows: rows}, "seed:3306")
		if err != nil || len(r.Members) != 2 || r.Role != Writer {
			t.Errorf("%+v, %v", r, err)
		}
		if r.Partial == nil || !strings.Contains(r.Partial.Error(), "two members of the group say that they are db-b:3306") {
			t.Errorf("%v", r.Partial)
		}
	})
}

// TestLoopsOfReplicas: those that replicate in circles have no known lag behind the writer, and
// whoever takes writes and follows nobody is it.
func TestLoopsOfReplicas(t *testing.T) {
	for name, tc := range map[string]struct {
		sources map[string]string
		want    string
		known   string // whose lag is
	}{
		"two beside the writer":   {map[string]string{"b": "c", "c": "b"}, "a writer up, b reader up, c reader up, d reader up", "d"},
		"three beside the writer": {map[string]string{"b": "c", "c": "d", "d": "b"}, "a writer up, b reader up, c reader up, d reader up", ""},
		"itself":                  {map[string]string{"b": "b"}, "a writer up, b reader up, c reader up, d reader up", "c d"},
		"the writer itself":       {map[string]string{"a": "a"}, "a writer up, b reader up, c reader up, d reader up", "b c d"},
		"with the writer":         {map[string]string{"a": "b"}, "a writer up, b reader up, c reader up, d reader up", "b c d"},
	} {
		t.Run(name, func(t *testing.T) {
			c, cfg := replicated("a", "b", "c", "d")
			for id, source := range tc.sources {
				c.server(id).replica.source = source
				c.server(id).replica.lag = int64(0)
			}
			bubble(t, c, cfg, func(t *testing.T, w *watched) {
				w.discover(t)
				pass(25 * time.Second)
				if got := strings.ReplaceAll(w.Snapshot().String(), domain, ""); !strings.HasSuffix(got, tc.want) {
					t.Errorf("%s, want %s", got, tc.want)
				}
				var known []string
				for _, in := range w.Snapshot().Instances {
					if in.LagKnown {
						known = append(known, strings.TrimSuffix(in.ID, domain))
					}
				}
				if got := strings.Join(known, " "); got != tc.known {
					t.Errorf("the lag is known of %q, want %q", got, tc.known)
				}
			})
		})
	}
}

// TestMeshOfReplicas: where each replicates from all others there are more ways than can be
// gone.
func TestMeshOfReplicas(t *testing.T) {
	ids := make([]Member, 16)
	var all []Server
	for i := range ids {
		id := fmt.Sprintf("s%02d", i)
		ids[i] = Member{ID: id, Addr: id, Writer: true}
		all = append(all, Server{UUID: id})
	}
	s := first(replicationName, ids)
	done := make(chan *Snapshot)
	go func() {
		defer close(done)
		for i := range uint64(100) {
			id := ids[i%16].ID
			s, _ = step(s, observation{kind: answered, id: id, addr: id, ticket: 2*i + 1, now: 2*i + 2, report: Report{
				ID: id, Role: Reader, LagKnown: true, Lineage: &Lineage{Self: Server{UUID: id}, Sources: all},
			}})
		}
		done <- s
	}()
	select {
	case s := <-done:
		if s.Writer() != nil {
			t.Errorf("%s", s)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("goes all the ways")
	}
}

// TestGrantOfTheServer: what is to be granted is what that server knows.
func TestGrantOfTheServer(t *testing.T) {
	for version, want := range map[string]string{
		"9.7.0": "REPLICATION CLIENT", "8.0.21-log": "REPLICATION CLIENT", "10.11.6-MariaDB": "SLAVE MONITOR", "10.5.0-MariaDB-log": "SLAVE MONITOR",
		"10.4.34-MariaDB": "REPLICATION CLIENT", "5.5.68-MariaDB": "REPLICATION CLIENT", "11.8.2-MariaDB": "SLAVE MONITOR",
	} {
		uuid := "uuid"
		if strings.Contains(version, "MariaDB") {
			uuid = ""
		}
		row := newRows([]driver.Value{version, "1", "0", "1", "host", "3306", uuid, ""})
		conn := forbid{script{replicationQuery: row}}
		r, err := newReplication(Config{Explain: explain}).Probe(t.Context(), conn, "a:3306")
		if err != nil || r.Partial == nil || !strings.Contains(r.Partial.Error(), "GRANT "+want+" ON *.*: ") {
			t.Errorf("%s: %v, %v", version, r.Partial, err)
		}
	}
}

// forbid allows nothing but what the script has.
type forbid struct{ script }

func (f forbid) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if rows, err := f.script.QueryContext(ctx, query, args); err == nil {
		return rows, nil
	}
	return nil, errForbidden
}
