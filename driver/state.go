package driver

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
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
	if x.facts.Effects&sqlscan.EffectRoutine != 0 {
		if err := c.cluster.routines.look(ctx, c.session.Backend()); err != nil {
			return err
		}
	}
	// What a routine does to LAST_INSERT_ID() shows in no packet: so it must be the
	// session's own before.
	if x.facts.AsksInsertID() || x.facts.SetsInsertID() || x.unseen() || x.facts.Opaque() {
		err := c.session.OwnInsertID(ctx, x.facts.AsksLastStatement())
		if x.idGone = errors.Is(err, pool.ErrAnswerGone); x.idGone && !x.facts.AsksInsertID() {
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

// letters is how a connection reads string literals.
type letters struct{ charset, collation string }

// changesLetters reports whether a SET changes how literals are read.
func (c *conn) changesLetters(changes []sqlscan.Change) bool {
	return slices.ContainsFunc(changes, func(change sqlscan.Change) bool {
		return change.Effect == sqlscan.EffectVariable && slices.ContainsFunc(c.settings(change), func(v pool.Setting) bool {
			return strings.HasPrefix(v.Name, "character_set") || v.Name == "collation_connection"
		})
	})
}

// hasText reports whether user variables have values that depend on how literals are read.
func hasText(state *pool.State) bool {
	return slices.ContainsFunc(state.Settings(), func(v pool.Setting) bool { return v.User && strings.HasPrefix(v.Value, "'") })
}

// fixText writes the values of the session's user variables such that they mean what they
// did before the statement changed how literals are read.
func (c *conn) fixText(x *exchange) {
	for _, v := range c.session.State().Settings() {
		if !v.User || !strings.HasPrefix(v.Value, "'") {
			continue
		}
		value, ok := fixed(v.Value, x)
		if !ok {
			c.pin(x, sqlscan.EffectUserVariable, v.Name, true)
			return
		}
		v.Value = value
		c.session.Set(v)
	}
}

// fixed is a literal with the character set and collation that it had on the connection
// before the statement; false if it cannot be written so. What is no string stays as it is.
func fixed(literal string, x *exchange) (string, bool) {
	if !strings.HasPrefix(literal, "'") {
		return literal, true
	}
	wide := strings.HasPrefix(x.letters.charset, "ucs") || strings.HasPrefix(x.letters.charset, "utf16") || strings.HasPrefix(x.letters.charset, "utf32")
	if wide || strings.IndexFunc(literal, func(r rune) bool { return r >= 0x80 }) >= 0 {
		return "", false
	}
	literal = "_" + x.letters.charset + literal
	if !strings.Contains(literal[strings.LastIndexByte(literal, '\''):], "COLLATE") {
		literal += " COLLATE `" + x.letters.collation + "`"
	}
	return literal, true
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
	if b := c.session.Backend(); x.facts.Effects&sqlscan.EffectRoutine != 0 && (b.MariaDB() || !b.Tracks()) {
		// MariaDB does not say, after an error, what changed before it.
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

// Variables that cannot be set again elsewhere: some are used up, some number the
// connection, one is how the server tells us what changes.
var unmovable = []string{
	"rand_seed1", "rand_seed2", "insert_id", "gtid_next", "gtid_seq_no", "pseudo_thread_id", "pseudo_slave_mode",
	"pseudo_replica_mode", "session_track_state_change", "debug", "debug_dbug",
}

// autoIsNull: see settings.
const autoIsNull = "sql_auto_is_null"

// forgotten is a variable that is not tracked: a bug, for a test that must find it.
var forgotten string

// Variables whose new value depends on the old one.
var incremental = []string{"optimizer_switch", "optimizer_trace", "optimizer_trace_features"}

// settings returns the variables that a SET changes: some change others.
func (c *conn) settings(change sqlscan.Change) []pool.Setting {
	name, source := change.Name, change.Value
	if change.Effect != sqlscan.EffectVariable || name == "" || slices.Contains(unmovable, name) {
		return nil
	}
	if c.ownDefaults() {
		source = "" // the same text means something else in other sessions
	}
	group := func(names ...string) []pool.Setting {
		set := make([]pool.Setting, len(names))
		for i, n := range names {
			set[i] = pool.Setting{Name: n}
			if source != "" {
				set[i].Source = name + "=" + source
			}
		}
		return set
	}
	switch name {
	case "names":
		return group("character_set_client", "character_set_results", "character_set_connection", "collation_connection")
	case "charset": // the connection's becomes that of the default schema
		source = ""
		return group("character_set_client", "character_set_results", "character_set_connection", "collation_connection")
	case "character_set_connection", "collation_connection":
		return group("character_set_connection", "collation_connection")
	case "storage_engine": // MariaDB's other name of it
		name = "default_storage_engine"
	case "character_set_server", "collation_server":
		return group("character_set_server", "collation_server")
	case "character_set_database", "collation_database":
		return group("character_set_database", "collation_database")
	case "max_join_size", "sql_big_selects":
		return group("max_join_size", "sql_big_selects")
	case "transaction_isolation", "tx_isolation":
		name = c.alias("transaction_isolation", "tx_isolation")
	case "transaction_read_only", "tx_read_only":
		name = c.alias("transaction_read_only", "tx_read_only")
	}
	if name == autoIsNull && source != "0" && !strings.EqualFold(source, "OFF") {
		return nil // then WHERE id IS NULL asks for LAST_INSERT_ID()
	}
	if slices.Contains(incremental, name) {
		return []pool.Setting{{Name: name}}
	}
	return []pool.Setting{{Name: name, Value: source, Source: source}}
}

// ownDefaults reports whether the session has its own mind about what a character set's
// default collation is.
func (c *conn) ownDefaults() bool {
	return slices.ContainsFunc(c.session.State().Settings(), func(v pool.Setting) bool {
		return v.Name == "default_collation_for_utf8mb4" || v.Name == "character_set_collations"
	})
}

// alias returns a variable's name on this server: MySQL 8 knows only the first.
func (c *conn) alias(mysql, mariaDB string) string {
	if b := c.session.Backend(); b != nil && b.MariaDB() {
		return mariaDB
	}
	return mysql
}

// consumed follows a SET TRANSACTION to the transaction that it was meant for: that may be a
// statement of its own. One that failed, or reads what may be no table, leaves the answer to
// the connection: the session stays with it until a transaction has ended, or until it
// comes to rest after such a statement that succeeded.
func (c *conn) consumed(x *exchange, err error) {
	s := &c.session
	kind := x.facts.Kind
	switch {
	case err == nil && (s.Backend().InTransaction() || kind == sqlscan.Begin || kind == sqlscan.Commit || kind == sqlscan.Rollback):
		c.consume()
	case x.only, failover.Unparsed(err), kind == sqlscan.Set, kind == sqlscan.Use, kind == sqlscan.Savepoint,
		kind == sqlscan.Read && !x.facts.ReadsTable() && !x.facts.Opaque():
	case err == nil && !x.facts.Opaque() && !noTable.MatchString(x.text):
		// If the tables' engine has no transactions it is still pending: SetOnce keeps it from others.
		c.oneShot, c.unsure = "", false
		s.Unpin(sqlscan.EffectNextTransaction, "")
	default:
		c.unsure = err == nil && !x.facts.Opaque()
		if c.oneShot != "" {
			s.Pin(sqlscan.EffectNextTransaction, "", false, c.oneShot[:strings.IndexByte(c.oneShot, 0)])
			c.oneShot = ""
		}
	}
}

// noTable finds what a statement may read from that is no table of a transactional engine.
var noTable = regexp.MustCompile(`(?i)\b(from|join)\s*\(|_schema\b|\bdual\b`)

// consume ends SET TRANSACTIONs: what comes after is not concerned.
func (c *conn) consume() {
	c.oneShot, c.unsure = "", false
	c.session.SetOnce(false)
	c.session.Unpin(sqlscan.EffectNextTransaction, "")
}

// modeOf reads how the server reads quotes, as far as it tells.
func modeOf(b *backend.Backend) sqlscan.Mode {
	if b.Status()&backend.StatusNoBackslashEscapes != 0 {
		return sqlscan.AnyQuotes | sqlscan.NoBackslashEscapes
	}
	return sqlscan.AnyQuotes
}
