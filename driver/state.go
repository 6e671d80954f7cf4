package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
)

// ready makes the session's backend ready for a statement that is not plain: for one
// that changes variables, asks for LAST_INSERT_ID(), or begins the transaction that an
// earlier SET TRANSACTION was meant for.
func (c *conn) ready(ctx context.Context, x *exchange) error {
	defer c.session.Backend().Unsent()
	if x.clear {
		// A statement without tables would leave them where they are, on MariaDB.
		if _, err := c.session.Backend().Ask(ctx, "SELECT * FROM (SELECT 1) AS x"); err != nil {
			return err
		}
	}
	if x.facts.Effects&sqlscan.EffectRoutine != 0 && (c.oneShot != "" || !c.session.Once()) {
		asked, err := c.cluster.routines.look(ctx, c.session.Backend())
		if err != nil {
			return err
		}
		if asked { // which may have been the transaction that a SET TRANSACTION was meant for
			c.session.SetOnce(false)
		}
	}
	if !c.session.Once() {
		for text := range strings.SplitSeq(strings.TrimSuffix(c.oneShot, "\x00"), "\x00") {
			if text == "" {
				break
			}
			if _, err := c.session.Backend().ExecContext(ctx, text, nil); err != nil {
				return err
			}
			c.session.SetOnce(true)
		}
	}
	if x.facts.Effects&sqlscan.EffectVariable != 0 {
		if err := c.readySet(ctx, x); err != nil {
			return err
		}
	}
	// What a routine does to LAST_INSERT_ID() shows in no packet: so it must be the
	// session's own before.
	if x.facts.AsksInsertID() || x.facts.SetsInsertID() || x.unseen() || x.facts.Opaque() {
		err := c.session.OwnInsertID(ctx, x.facts.AsksLastStatement())
		if x.idGone = errors.Is(err, pool.ErrAnswerGone); x.idGone && !x.facts.AsksInsertID() {
			if x.unseen() && !x.facts.Opaque() {
				x.idGone = false
				return c.session.ClearInsertID(ctx)
			}
			return nil
		}
		return err
	}
	return nil
}

// readySet is ready for a SET.
func (c *conn) readySet(ctx context.Context, x *exchange) error {
	b := c.session.Backend()
	changes := c.changes(x)
	var names []string
	for _, change := range changes {
		for _, v := range c.settings(change) {
			names = append(names, v.Name)
		}
	}
	if err := c.session.Save(ctx, names); err != nil {
		if !b.IsValid() {
			return err
		}
		x.unknown = true // and the statement fails for it, before it sets anything
		return nil
	}
	if slices.ContainsFunc(changes, func(change sqlscan.Change) bool { return change.Name == autoIsNull }) {
		// WHERE id IS NULL will ask for LAST_INSERT_ID() from now on, on this backend.
		if err := c.session.OwnInsertID(ctx, false); err != nil && !errors.Is(err, pool.ErrAnswerGone) {
			return err
		}
	}
	texts := slices.ContainsFunc(changes, func(change sqlscan.Change) bool { return change.Effect == sqlscan.EffectUserVariable })
	if c.changesLetters(changes) && (texts || hasText(c.session.State())) {
		answer, err := b.Ask(ctx, "SELECT @@character_set_connection, @@collation_connection")
		if err != nil {
			return err
		}
		x.letters = &letters{fmt.Sprint(answer[0]), fmt.Sprint(answer[1])}
	}
	return nil
}

// unseen reports whether the statement may set LAST_INSERT_ID() without an OK packet that
// tells: INSERT … RETURNING.
func (x *exchange) unseen() bool { return x.rows && x.facts.Inserts() }

// learn takes over what a statement did to the session's state. err is the statement's own
// error; changed says that the server reported a change, whatever the text says.
func (c *conn) learn(x *exchange, err error, changed bool) {
	s := &c.session
	effects := x.facts.Effects | x.facts.Ends
	if changed && effects&sqlscan.Reported&^sqlscan.EffectRoutine == 0 && !x.facts.Administers() {
		// A stored routine, or a trigger: the server saw it, the text does not show it.
		_ = s.Backend().ForgetAll() // prepared under what may have changed
		s.Pin(sqlscan.EffectRoutine, "", true, x.text)
	}
	if x.facts.Opaque() {
		// It may have asked for the next transaction to be a READ ONLY one: nobody reports that.
		c.readsOnly = true
		s.SetOnce(true)
	}
	if x.facts.Effects&sqlscan.EffectRoutine != 0 && !failover.Unparsed(err) {
		for _, effect := range c.cluster.routines.effects(x.text) {
			s.Pin(effect, "", false, x.text)
		}
	}
	if err != nil {
		c.learnFailed(x, err)
		return
	}
	switch {
	case x.idGone:
		s.MayHaveInserted()
	case x.facts.SetsInsertID(), x.unseen(), x.facts.Opaque():
		s.TookInsertID()
	}
	if effects == 0 {
		return
	}
	routine := x.facts.Effects&sqlscan.EffectRoutine != 0
	if routine && (!s.Backend().Tracks() || c.cluster.cfg.MySQL.MultiStatements && x.facts.Statements > 1) {
		s.Pin(sqlscan.EffectRoutine, "", true, x.text)
	}
	if x.facts.Effects&sqlscan.EffectUnknown != 0 {
		s.Pin(sqlscan.EffectUnknown, "", true, x.text)
	}
	changes := c.changes(x)
	if x.letters != nil {
		c.fixText(x)
	}
	for _, change := range changes {
		if x.letters != nil && change.Effect == sqlscan.EffectUserVariable {
			change.Value, _ = fixed(change.Value, x)
		}
		c.apply(x, change)
	}
}

// changes is sqlscan.Changes of the statement.
func (c *conn) changes(x *exchange) []sqlscan.Change {
	changes := sqlscan.Changes(x.text, c.mode)
	if forgotten != "" {
		changes = slices.DeleteFunc(changes, func(change sqlscan.Change) bool {
			return change.Effect == sqlscan.EffectVariable && change.Name == forgotten
		})
	}
	return changes
}

// leftBehind reports whether a routine that failed may have changed the session's state before.
// An error does not say, and MariaDB never does. MySQL says it with its next answer: if that is
// yet to come, it must not be the answer to a statement whose own changes are reported, too.
func (c *conn) leftBehind() bool {
	b := c.session.Backend()
	return b.MariaDB() || !b.Tracks() || c.assumed && (b.Unreported() || !c.refresh(b) || b.Changed())
}

// learnFailed is learn for a statement that failed. One that is alone in its text has left
// nothing behind, with exceptions.
func (c *conn) learnFailed(x *exchange, err error) {
	if x.facts.Ends&(sqlscan.EffectHandler|sqlscan.EffectPrepared) != 0 && failover.NotOpen(err) {
		for _, change := range c.changes(x) { // something else has ended it
			c.pinOrUnpin(x, change, change.Name)
		}
		return
	}
	if x.facts.Kind == sqlscan.DDL && x.facts.Statements == 1 && failover.NotCreated(err) {
		return
	}
	if x.facts.Effects == 0 || failover.Unparsed(err) && x.facts.Statements <= 1 || x.unknown {
		return
	}
	if x.facts.Effects&sqlscan.EffectRoutine != 0 && c.leftBehind() {
		c.session.Pin(sqlscan.EffectRoutine, "", true, x.text)
	}
	changes := c.changes(x)
	literals := !slices.ContainsFunc(changes, func(change sqlscan.Change) bool { return change.Value == "" })
	several := x.facts.Statements > 1 || x.facts.Kind == sqlscan.Set && len(changes) > 1
	for _, change := range changes {
		switch {
		case change.Ends || change.Effect == sqlscan.EffectRoutine:
		case change.Effect == sqlscan.EffectNamedLock: // may have been taken before the error
			c.apply(x, change)
		case !several:
		case change.Effect == sqlscan.EffectUserVariable && literals: // refused before any was set
		case change.Effect == sqlscan.EffectVariable && change.Name != "":
			// It may have got its value or not: the connection knows.
			change.Value = ""
			settings := c.settings(change)
			for i := range settings {
				settings[i].Doubt = true
			}
			if len(settings) > 0 {
				c.session.Set(settings...)
			}
		default:
			c.pin(x, change.Effect, "", true)
		}
	}
	if x.facts.Effects&sqlscan.EffectUnknown != 0 {
		c.session.Pin(sqlscan.EffectUnknown, "", true, x.text)
	}
}

// apply takes over one change.
func (c *conn) apply(x *exchange, change sqlscan.Change) {
	s := &c.session
	if change.Param > 0 {
		change.Name = argument(x, change.Param)
	}
	switch change.Effect {
	case sqlscan.EffectRoutine, sqlscan.EffectUnknown:
	case sqlscan.EffectVariable:
		settings := c.settings(change)
		if len(settings) == 0 {
			c.pin(x, change.Effect, change.Name, true)
			return
		}
		c.readsOnly = c.readsOnly || strings.HasSuffix(settings[0].Name, "_read_only")
		s.Set(settings...)
	case sqlscan.EffectUserVariable:
		if change.Name == "" || change.Value == "" {
			c.pin(x, change.Effect, change.Name, true)
			return
		}
		s.Set(pool.Setting{Name: change.Name, User: true, Value: change.Value})
	case sqlscan.EffectSchema:
		if change.Ends {
			if change.Name == c.schema() {
				// No other connection can be brought to have none.
				c.pin(x, change.Effect, "", false)
			}
			return
		}
		s.Unpin(change.Effect, "")
		if change.Name == c.cluster.cfg.MySQL.DBName {
			change.Name = ""
		}
		s.SetSchema(change.Name)
	case sqlscan.EffectNextTransaction:
		if change.Name != "" {
			change.Value = x.text
		}
		c.oneShot += change.Value + "\x00"
		upper := strings.ToUpper(change.Value)
		c.readsOnly = c.readsOnly || strings.Contains(upper, "ONLY")
		s.SetOnce(true)
	case sqlscan.EffectTemporaryTable:
		if change.Stays {
			s.Stay(change.Effect)
			return
		}
		c.pinOrUnpin(x, change, c.table(change.Name))
	case sqlscan.EffectNamedLock:
		if x.refused && change.Alone && !change.Ends {
			return
		}
		if !s.Backend().MariaDB() { // whose names of locks are case-sensitive
			change.Name = strings.ToLower(change.Name)
		}
		c.pinOrUnpin(x, change, change.Name)
	default:
		c.pinOrUnpin(x, change, change.Name)
	}
}

func (c *conn) pinOrUnpin(x *exchange, change sqlscan.Change, name string) {
	switch {
	case !change.Ends:
		c.pin(x, change.Effect, name, change.Stays)
	case name != "" || change.Effect == sqlscan.EffectNamedLock || change.Effect == sqlscan.EffectXA:
		c.session.Unpin(change.Effect, name)
	}
}

// pin pins, unless fpPinFilter says that variables are harmless.
func (c *conn) pin(x *exchange, effect sqlscan.Effects, name string, stays bool) {
	const variables = sqlscan.EffectVariable | sqlscan.EffectUserVariable
	if effect&variables != 0 && c.cluster.cfg.PinFilter == excludeVariableSets && x.facts.Kind == sqlscan.Set {
		return
	}
	c.session.Pin(effect, name, stays, x.text)
}

const excludeVariableSets = "excludeVariableSets"

// argument returns the n-th argument, from 1, as the name of a lock.
func argument(x *exchange, n int) string {
	if n > len(x.args) {
		return ""
	}
	switch v := x.args[n-1].Value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// table completes a table's name by the default schema.
func (c *conn) table(name string) string {
	if name == "" || strings.Contains(name, "\x00") {
		return name
	}
	return c.schema() + "\x00" + name
}

// schema is the session's default schema.
func (c *conn) schema() string {
	if name := c.session.State().Schema(); name != "" {
		return name
	}
	return c.cluster.cfg.MySQL.DBName
}
