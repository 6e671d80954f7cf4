package pool

import (
	"testing"
	"testing/synctest"
)

// TestBusyInserterGivesWay: a session that runs one INSERT after the other, and so owes its
// connection a question after each, does not keep those out who stand in line.
func TestBusyInserterGivesWay(t *testing.T) {
	bubble(t, Config{Size: 1}, func(r *rig) {
		busy, served := r.borrow(), make(chan *Session)
		busy.Inserted(7)
		busy.Keep(r.Context())
		if !busy.Hold(r.Context(), "INSERT") {
			r.Fatal("the lease is gone")
		}
		go func() { served <- r.borrow() }()
		for round := 0; ; round++ {
			synctest.Wait()
			if in := r.stats(); in.Waiting == 0 {
				break
			}
			if round == 3 {
				r.Error("it waits in vain")
				break
			}
			busy.Inserted(7)
			busy.Keep(r.Context())
			if !busy.Hold(r.Context(), "INSERT") {
				break
			}
		}
		if busy.Backend() != nil {
			busy.Close()
		}
		other := <-served
		if other.Close(); busy.Backend() == nil {
			r.must(busy.Borrow(r.Context(), r.instance(), "SELECT LAST_INSERT_ID()"))
			if busy.id.value != 7 || busy.id.unread {
				r.Errorf("its LAST_INSERT_ID() was not saved: %+v", busy.id)
			}
			busy.Close()
		}
	})
}
