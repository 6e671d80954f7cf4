package topology

import (
	"sync"
	"time"
)

// heartbeats tell rows that are written still from those that only look old, or new, by the
// clock of whoever writes them. The zero value is ready; it is safe for concurrent use.
type heartbeats struct {
	mu   sync.Mutex
	rows map[string]heartbeat
}

// heartbeat is what was seen of a row.
type heartbeat struct {
	row     time.Time // the time in it
	changed time.Time // when another time was seen in it than before; zero = never
	seen    time.Time // when it was seen last
}

// goOn takes note of the time in a row, and reports whether it has changed within the last
// rowLifetime of our own clock.
func (h *heartbeats) goOn(id string, row time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.rows == nil {
		h.rows = make(map[string]heartbeat)
	}
	b, known := h.rows[id]
	if known && !row.Equal(b.row) {
		b.changed = now
	}
	b.row, b.seen = row, now
	h.rows[id] = b
	if !known { // there is no end of names that a server can make up
		for other, o := range h.rows {
			if now.Sub(o.seen) > rowLifetime {
				delete(h.rows, other)
			}
		}
	}
	return !b.changed.IsZero() && now.Sub(b.changed) <= rowLifetime
}
