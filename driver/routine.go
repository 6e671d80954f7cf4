package driver

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/backend"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// routines knows which stored routines do what servers do not report as a change of the
// session's state: for that the routines' texts must be read. One whose text the user may
// not read is taken for one that does nothing of the kind.
type routines struct {
	looked atomic.Int64 // when, Unix ns
	named  atomic.Pointer[map[string][]sqlscan.Effects]
}

// hidden is what to look for in their texts, in lower case.
var hidden = map[sqlscan.Effects]*regexp.Regexp{
	sqlscan.EffectNamedLock: regexp.MustCompile(`get_lock`),
	// MySQL manual, "SET TRANSACTION": without a scope it is the next transaction's.
	sqlscan.EffectNextTransaction: regexp.MustCompile(`set\s+transaction\b|@@(transaction|tx)_`),
}

// routinesTTL is how long an answer is good for.
const routinesTTL = 10 * time.Second

// allRoutines returns nothing where no routine does any of that.
const allRoutines = "SELECT LOWER(ROUTINE_NAME), LOWER(ROUTINE_DEFINITION) FROM information_schema.ROUTINES " +
	"WHERE ROUTINE_SCHEMA NOT IN ('sys', 'mysql') AND EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN ('sys', 'mysql') AND (" +
	"LOWER(ROUTINE_DEFINITION) LIKE '%get|_lock%' ESCAPE '|' OR LOWER(ROUTINE_DEFINITION) LIKE '%transaction%' OR LOWER(ROUTINE_DEFINITION) LIKE '%@@tx|_%' ESCAPE '|')) " +
	"LIMIT 18446744073709551615" // or the session's sql_select_limit is the limit

// look asks the server, unless that was done a moment ago, and reports whether it did.
func (r *routines) look(ctx context.Context, b *backend.Backend) (asked bool, err error) {
	now, before := time.Now().UnixNano(), r.looked.Load()
	recent := before != 0 && now-before < int64(routinesTTL)
	if r.named.Load() != nil && (recent || !r.looked.CompareAndSwap(before, now)) {
		return false, nil
	}
	bodies, err := readRoutines(ctx, b)
	if err != nil {
		if !b.IsValid() {
			return true, err
		}
		r.looked.Store(before) // the server does not tell this session: the statement goes on
		return true, nil
	}
	r.looked.Store(now)
	named := make(map[string][]sqlscan.Effects)
	for effect, text := range hidden {
		for _, name := range routinesWith(text, maps.Clone(bodies)) {
			named[name] = append(named[name], effect)
		}
	}
	r.named.Store(&named)
	return true, nil
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

// routinesWith returns the names of those whose text matches, or names a routine that does.
// It takes them out of bodies.
func routinesWith(text *regexp.Regexp, bodies map[string]string) (names []string) {
	take := func(matches func(body string) bool) {
		for name, body := range bodies {
			if matches(body) {
				names = append(names, name)
				delete(bodies, name)
			}
		}
	}
	take(text.MatchString)
	for i := 0; i < len(names); i++ {
		take(func(body string) bool { return mentions(body, names[i]) })
	}
	return names
}

// mentions reports whether the text has the name as a word of its own.
func mentions(text, name string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		start := from + i
		from = start + len(name)
		if (start == 0 || !sqlscan.IsWord(text[start-1])) && (from == len(text) || !sqlscan.IsWord(text[from])) {
			return true
		}
	}
}

// effects returns what the routines may do that the text names.
func (r *routines) effects(text string) (effects []sqlscan.Effects) {
	named := r.named.Load()
	if named == nil || len(*named) == 0 {
		return nil
	}
	text = strings.ToLower(text)
	for name, does := range *named {
		if mentions(text, name) {
			for _, effect := range does {
				if !slices.Contains(effects, effect) {
					effects = append(effects, effect)
				}
			}
		}
	}
	return effects
}
