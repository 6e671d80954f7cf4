package failover

import (
	"context"
	"database/sql/driver"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failoverproxy/failoverproxy/topology"
)

// TestRecorderBounds: a failover that takes for ever does not fill the memory, and says what it
// left out.
func TestRecorderBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, none := &topology.Snapshot{}, &topology.Snapshot{}
		r := NewRecorder(slog.New(slog.DiscardHandler), nil)
		r.SnapshotChanged(old, none, []topology.Event{{Kind: topology.WriterLost, Instance: "a"}})
		for range 1000 {
			r.Probed(topology.Probe{Instance: "a", Role: topology.Reader, Took: time.Millisecond})
			r.Probed(topology.Probe{Instance: "a", Role: topology.Writer, Took: 2 * time.Millisecond})
		}
		r.Close()
		i := r.Incidents()[0]
		if len(i.Timeline) != momentsKept || i.Omitted == 0 {
			t.Errorf("%d moments, %d omitted", len(i.Timeline), i.Omitted)
		}
		if !i.Restored.IsZero() || !strings.Contains(i.String(), "no writer yet") || !strings.Contains(i.String(), "more") {
			t.Errorf("got %s", i)
		}
		r.SnapshotChanged(old, none, []topology.Event{{Kind: topology.WriterLost, Instance: "a"}})
		if len(r.Incidents()) != 1 {
			t.Error("an incident after Close")
		}
	})
}

// TestRecorderSecondWriter: another instance takes over right after the one that did.
func TestRecorderSecondWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(slog.New(slog.DiscardHandler), nil)
		defer r.Close()
		reign := func(id string) *topology.Snapshot { return snapshotOf(t, id) }
		a, b, c := reign("a"), reign("b"), reign("c")
		r.SnapshotChanged(a, b, []topology.Event{{Kind: topology.WriterChanged, Instance: "b"}})
		r.SnapshotChanged(b, c, []topology.Event{{Kind: topology.WriterChanged, Instance: "c"}})
		if i := r.Incidents()[0]; i.Old != "a" || i.New != "c" {
			t.Errorf("got %s", i)
		}
	})
}

// snapshotOf is a cluster whose writer is id, as a monitor sees it.
func snapshotOf(t *testing.T, id string) *topology.Snapshot {
	t.Helper()
	m, err := topology.NewMonitor(topology.Config{
		Provider: "static", Seeds: []string{id}, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, string) (topology.Conn, error) { return writable{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s, err := m.Discover(t.Context())
	if err != nil || s.Writer() == nil {
		t.Fatalf("%v, %v", s, err)
	}
	return s
}

// writable says that the server takes writes.
type writable struct{ read bool }

func (writable) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &writable{}, nil
}
func (writable) Close() error      { return nil }
func (writable) Columns() []string { return []string{"", ""} }
func (a *writable) Next(dest []driver.Value) error {
	if a.read {
		return io.EOF
	}
	a.read = true
	dest[0], dest[1] = int64(0), int64(0)
	return nil
}

// TestRecorderConcurrent: statements come and go from everywhere while the news come.
func TestRecorderConcurrent(t *testing.T) {
	old, none := &topology.Snapshot{}, &topology.Snapshot{}
	var told Fates
	r := NewRecorder(slog.New(slog.DiscardHandler), func(i Incident) { told = i.Statements })
	r.SnapshotChanged(old, none, []topology.Event{{Kind: topology.WriterLost, Instance: "a"}})
	var wg sync.WaitGroup
	for fate := FateReexecuted; fate <= FateCancelled; fate++ {
		wg.Go(func() {
			for range 100 {
				r.Enter()
				r.Leave(fate)
				r.Incidents()
			}
		})
	}
	wg.Wait()
	r.Close()
	if want := (Fates{100, 100, 100, 100, 100, 100}); told != want || told.Total() != 600 {
		t.Errorf("got %s", told)
	}
}
