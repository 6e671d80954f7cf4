package pool

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// A session that has let its connection go may owe it a question: what a variable is
// after SET x = CONCAT(@@x, …), and what LAST_INSERT_ID() would have answered. It is asked
// as late as possible, before the connection serves another session, by whoever is to
// get it: most sessions come back to their connection before anybody else does.

// settleTimeout bounds that question: it is one round trip on a live connection.
const settleTimeout = 2 * time.Second

// debts are rare, and kept apart from the session for that.
type debts struct {
	owed []Setting // variables whose value is to be read
	lost string    // those that could not be read, and what else is gone
}

// owed are the variables whose value is to be read.
func (s *Session) owed() []Setting {
	if s.debts == nil {
		return nil
	}
	return s.debts.owed
}

// indebted reports whether the connection is to be asked before it goes.
func (s *Session) indebted() bool {
	return len(s.owed()) > 0 || s.id.unread && !s.resting
}

// bereft reports whether the session loses variables with its connection.
func (s *Session) bereft() bool {
	return slices.ContainsFunc(s.owed(), func(v Setting) bool {
		have, ok := s.state.get(v)
		return ok && have.Value == ""
	})
}

// Bereft reports whether the session has lost variables, see [Session.Lost], or would with the
// connection that it keeps, which is dead.
func (s *Session) Bereft(ctx context.Context) bool {
	if !s.owing {
		return false
	}
	if s.kept {
		s.in.mu.Lock()
		defer s.in.mu.Unlock()
		if s.list != nil {
			c := s.res.Value()
			return s.bereft() && (c.IsCut() || c.ResetSession(ctx) != nil)
		}
		if s.paid != nil {
			select {
			case <-s.paid:
			default:
				return false // somebody is asking
			}
		}
	}
	return s.debts != nil && s.debts.lost != ""
}

// settle asks what the session owes. If it fails, what was to be learned is lost.
func (s *Session) settle(ctx context.Context, c *connection) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	names := make([]string, 0, 1+len(s.owed()))
	names = append(names, "LAST_INSERT_ID()")
	for _, v := range s.owed() {
		names = append(names, v.target())
		if v.Doubt {
			names = append(names, v.origin())
		}
	}
	values, err := c.Ask(ctx, "SELECT "+strings.Join(names, ", "))
	if err != nil {
		c.Cut()
		s.forfeit()
		return
	}
	if s.id.unread {
		s.learnID(c, values[0])
	}
	values = values[1:]
	for _, v := range s.owed() {
		text, ok := literal(values[0])
		values = values[1:]
		if v.Doubt {
			first, _ := literal(values[0])
			values = values[1:]
			if text == first {
				s.state = s.state.without(v)
				continue
			}
		}
		if !ok {
			s.lose(v)
			continue
		}
		s.in.pool.normal.put(v, text)
		if have, ok := s.state.get(v); ok && have.Source == v.Source {
			have.Value = text
			s.state = s.state.replace(have)
		}
	}
	s.paidUp()
	c.state = s.state
}

// paidUp ends what is owed.
func (s *Session) paidUp() {
	if d := s.debts; d != nil {
		if d.owed = nil; d.lost == "" {
			s.debts = nil
		}
	}
}

func (s *Session) lose(v Setting) { s.debts.lose(sqlscan.EffectVariable, v.Name) }

// loseSchema gives up the session's default schema.
func (s *Session) loseSchema() {
	if s.debts == nil {
		s.debts = &debts{}
	}
	s.debts.lose(sqlscan.EffectSchema, s.state.Schema())
	s.state = s.state.WithSchema("")
}

func (d *debts) lose(what sqlscan.Effects, name string) {
	if d.lost != "" {
		d.lost += ", "
	}
	d.lost += what.String() + " " + name
}

// forfeit gives up what the session owes: its connection is gone.
func (s *Session) forfeit() {
	for _, v := range s.owed() {
		if have, ok := s.state.get(v); ok && have.Value == "" {
			s.lose(v)
			s.state = s.state.without(v)
		}
	}
	s.paidUp()
	s.forgetID()
}

// owe replaces what is owed of a variable.
func (s *Session) owe(v Setting) {
	s.acquit(v)
	if s.debts == nil {
		s.debts = &debts{}
	}
	s.debts.owed = append(s.debts.owed, v)
	s.owing = true
}

func (s *Session) acquit(v Setting) {
	if s.debts != nil {
		s.debts.owed = slices.DeleteFunc(s.debts.owed, v.same)
	}
}

// literal returns a variable's value as SQL; false if there is no literal that is read
// alike in every sql_mode.
func literal(v driver.Value) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "NULL", true
	case string:
		return sqlscan.Quote(v)
	case float32, float64:
		text := fmt.Sprint(v)
		return text, !strings.ContainsAny(text, "IN") // Inf, NaN
	case int64, uint64:
		return fmt.Sprint(v), true
	}
	return "", false
}

// normals remembers what servers made of values: 'ansi' becomes a list of modes, 1
// becomes ON. It is bounded, and safe for concurrent use.
type normals struct {
	mu     sync.Mutex
	values map[Setting]string // by name and source
}

const maxNormals = 1024

func (n *normals) get(v Setting) (string, bool) {
	if v.Source == "" {
		return "", false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	value, ok := n.values[Setting{Name: v.Name, Source: v.Source}]
	return value, ok
}

func (n *normals) put(v Setting, value string) {
	if v.Source == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.values == nil || len(n.values) >= maxNormals {
		n.values = make(map[Setting]string)
	}
	n.values[Setting{Name: v.Name, Source: v.Source}] = value
}
