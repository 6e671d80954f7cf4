package driver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// routines knows which stored routines take named locks: servers do not report a lock as
// a change of the session's state, so the routines' texts must be read. One whose text
// the user may not read is taken for one that takes none.
type routines struct {
	looked  atomic.Int64 // when, Unix ns
	locking atomic.Pointer[[]string]
}

// routinesTTL is how long an answer is good for.
const routinesTTL = 10 * time.Second

// allRoutines returns nothing where no routine takes a lock.
const allRoutines = "SELECT LOWER(ROUTINE_NAME), LOWER(ROUTINE_DEFINITION) FROM information_schema.ROUTINES " +
	"WHERE ROUTINE_SCHEMA NOT IN ('sys', 'mysql') AND EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_DEFINITION LIKE '%GET|_LOCK%' ESCAPE '|')"

// look asks the server, unless that was done a moment ago.
func (r *routines) look(ctx context.Context, b *backend.Backend) error {
	now, before := time.Now().UnixNano(), r.looked.Load()
	if before != 0 && now-before < int64(routinesTTL) || !r.looked.CompareAndSwap(before, now) {
		return nil
	}
	bodies, err := readRoutines(ctx, b)
	if err != nil {
		r.looked.Store(0)
		if b.IsValid() {
			return nil // the server does not tell: the statement goes on
		}
		return err
	}
	locking := lockingRoutines(bodies)
	r.locking.Store(&locking)
	return nil
}

// readRoutines returns names and texts.
func readRoutines(ctx context.Context, b *backend.Backend) (map[string]string, error) {
	rows, err := b.QueryContext(ctx, allRoutines, nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	bodies := make(map[string]string)
	for values := make([]driver.Value, 2); rows.Next(values) == nil; {
		name, body := values[0], values[1]
		if body != nil {
			bodies[fmt.Sprintf("%s", name)] += fmt.Sprintf("%s\n", body)
		}
	}
	return bodies, nil
}

// lockingRoutines returns the names of those that take a lock, themselves or by a routine
// that they name.
func lockingRoutines(bodies map[string]string) []string {
	names := []string{"get_lock"}
	for i := 0; i < len(names); i++ {
		for name, body := range bodies {
			if strings.Contains(body, names[i]) {
				names = append(names, name)
				delete(bodies, name)
			}
		}
	}
	return names[1:]
}

// lock reports whether the text names one of them.
func (r *routines) lock(text string) bool {
	names := r.locking.Load()
	if names == nil || len(*names) == 0 {
		return false
	}
	text = strings.ToLower(text)
	for _, name := range *names {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}
