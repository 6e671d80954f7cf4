package failover

import (
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
