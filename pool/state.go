package pool

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// State is what a session has set and what every backend that serves it must have:
// default schema, system variables, user variables. It is immutable; nil is the state
// of a new connection.
type State struct {
	schema   string // "" = the configuration's
	settings []Setting
	key      string
}

// Key tells states apart in which a server reads one text differently.
func (s *State) Key() string {
	if s == nil {
		return ""
	}
	return s.key
}

// unknowns numbers values that nobody knows.
var unknowns atomic.Uint64

// made completes a new state.
func (s *State) made() *State {
	if s.schema == "" && len(s.settings) == 0 {
		return nil
	}
	if s.schema != "" {
		s.key = s.schema + "\x00"
	}
	for _, v := range s.settings {
		switch {
		case v.User:
		case v.Value == "":
			s.key += v.Name + "?" + strconv.FormatUint(unknowns.Add(1), 10) + "\x00"
		default:
			s.key += v.Name + "=" + v.Value + "\x00"
		}
	}
	return s
}

// Setting is a variable and its value.
type Setting struct {
	Name  string // in lower case, without @
	User  bool   // a user variable
	Value string // a literal of SQL; "" = only the connection knows it, so far
	// Source is what the value was made from, if equal sources give equal values; "" if
	// they do not.
	Source string
	// Doubt: the statement that set it failed, and may have set it or not.
	Doubt bool
}

// Schema returns the default schema, "" if it is the configuration's.
func (s *State) Schema() string {
	if s == nil {
		return ""
	}
	return s.schema
}

// Settings returns the variables in the order in which they were set last.
func (s *State) Settings() []Setting {
	if s == nil {
		return nil
	}
	return s.settings
}

// WithSchema returns the state after USE.
func (s *State) WithSchema(name string) *State {
	return (&State{schema: name, settings: s.Settings()}).made()
}

// With returns the state after variables were set. A user variable that is NULL is as
// good as one that never was.
func (s *State) With(set ...Setting) *State {
	next := &State{schema: s.Schema()}
	for _, old := range s.Settings() {
		if !slices.ContainsFunc(set, old.same) {
			next.settings = append(next.settings, old)
		}
	}
	for _, v := range set {
		if !v.User || !strings.EqualFold(v.Value, "NULL") {
			next.settings = append(next.settings, v)
		}
	}
	return next.made()
}

// replace returns the state with another value of a variable that is in it.
func (s *State) replace(v Setting) *State {
	next := &State{schema: s.schema, settings: slices.Clone(s.settings)}
	next.settings[slices.IndexFunc(next.settings, v.same)] = v
	return next.made()
}

// without returns the state as if the variable had never been set.
func (s *State) without(v Setting) *State {
	return (&State{schema: s.schema, settings: slices.DeleteFunc(slices.Clone(s.settings), v.same)}).made()
}

func (v Setting) same(other Setting) bool { return v.Name == other.Name && v.User == other.User }

func (s *State) get(v Setting) (Setting, bool) {
	for _, have := range s.Settings() {
		if have.same(v) {
			return have, true
		}
	}
	return Setting{}, false
}

// equal reports whether nothing needs to be done to get from one to the other.
func (s *State) equal(t *State) bool {
	if s.Schema() != t.Schema() || len(s.Settings()) != len(t.Settings()) {
		return false
	}
	for _, v := range s.Settings() {
		if have, ok := t.get(v); !ok || !have.agrees(v) {
			return false
		}
	}
	return true
}

// readAs returns the state with what another one says of how a text is read. The rest is
// not only of no consequence then: autocommit = 1 would commit what is open, and servers
// refuse some variables inside of transactions.
func (s *State) readAs(then *State) *State {
	next := &State{schema: then.Schema(), settings: slices.DeleteFunc(slices.Clone(s.Settings()), Setting.reads)}
	for _, v := range then.Settings() {
		if v.reads() {
			next.settings = append(next.settings, v)
		}
	}
	return next.made()
}

// reads reports whether the variable says how a text is read.
func (v Setting) reads() bool {
	switch v.Name {
	case "sql_mode", "old_mode", "div_precision_increment":
		return !v.User
	}
	return v.letters()
}

// target is how a variable is written on the left side of SET.
func (v Setting) target() string {
	if v.User {
		return "@`" + strings.ReplaceAll(v.Name, "`", "``") + "`"
	}
	return "@@session." + v.Name
}

// names is the NAMES … COLLATE that set character_set_client, "" for everything else. It gave
// MariaDB's variable a collation, by which strings among a statement's arguments are read
// and which shows nowhere.
func (v Setting) names() string {
	text, ok := strings.CutPrefix(v.Source, "names=")
	if !ok || v.Name != "character_set_client" || !strings.Contains(strings.ToUpper(text), "COLLATE") {
		return ""
	}
	return text
}

// agrees reports whether a connection with one value of the variable has the other.
func (v Setting) agrees(other Setting) bool {
	return v.Value == other.Value && v.names() == other.names()
}

// origin is the user variable in which a connection keeps the variable's first value.
func (v Setting) origin() string { return "@`__failoverproxy_" + v.Name + "`" }

// letters reports whether the variable says how the literals of the statements to come
// are read.
func (v Setting) letters() bool {
	return !v.User && (strings.HasPrefix(v.Name, "character_set") || strings.HasPrefix(v.Name, "collation_"))
}

// errUnrestorable: what an earlier session left on the connection cannot be undone.
var errUnrestorable = errors.New("the connection cannot be brought back to its first state")

// bring makes the connection's state want; schema is the configuration's. It takes no
// round trip if they agree, and one SET if variables differ. A default schema takes one
// of its own, and so do character sets if user variables come with them: a literal is
// read by the character set that was in force when its statement came. After an error the
// connection is of no use.
func (c *connection) bring(ctx context.Context, want *State, schema string) error {
	if c.state == want {
		return nil
	}
	if c.state.equal(want) {
		c.state = want
		return nil
	}
	if err := c.use(ctx, want.Schema(), schema); err != nil {
		return err
	}
	first, then, err := c.assignments(want)
	if err != nil {
		return err
	}
	for _, assignments := range [...]string{first, then} {
		if assignments == "" {
			continue
		}
		if err := c.Run(ctx, "SET "+assignments); err != nil {
			return err
		}
	}
	for _, v := range want.Settings() {
		if !v.User {
			c.save(v.Name)
		}
	}
	c.state = want
	return nil
}

// use makes name the default schema, the configuration's for "", and notes it.
func (c *connection) use(ctx context.Context, name, configured string) error {
	if c.state.Schema() == name {
		return nil
	}
	if configured = cmp.Or(name, configured); configured == "" {
		return errUnrestorable
	}
	if err := c.Run(ctx, "USE `"+strings.ReplaceAll(configured, "`", "``")+"`"); err != nil {
		return err
	}
	c.state = c.state.WithSchema(name)
	return nil
}

// assignments returns what SET has to do, in one list or, if it must be, in two.
func (c *connection) assignments(want *State) (first, then string, err error) {
	var system, user list
	letters, named := false, false
	for _, v := range c.state.Settings() {
		if _, stays := want.get(v); stays {
			continue
		}
		letters = letters || v.letters()
		switch {
		case v.User:
			c.forget(&user, v)
		case v.Name == "timestamp": // its value stands still once it was set
			system.add(v.target(), "DEFAULT")
		case c.saved[v.Name]:
			system.add(v.target(), v.origin())
		default:
			return "", "", errUnrestorable
		}
	}
	for _, v := range want.Settings() {
		if have, ok := c.state.get(v); ok && have.agrees(v) && !(named && v.letters()) {
			continue
		}
		if v.User {
			user.add(v.target(), v.Value)
			continue
		}
		letters = letters || v.letters()
		if !c.saved[v.Name] {
			system.add(v.origin(), "@@session."+v.Name)
		}
		if names := v.names(); names != "" {
			system.append(names)
			named = true // it sets the other character sets, too, which were set after it
			continue
		}
		system.add(v.target(), v.Value)
	}
	if letters || system == "" || user == "" {
		return string(system), string(user), nil
	}
	return string(system + ", " + user), "", nil
}

// forget makes a user variable look as if it had never been set: on MariaDB it has the
// binary character set then, on MySQL, where NULL keeps the type of the last value, it
// counts as a number.
func (c *connection) forget(l *list, v Setting) {
	if c.MariaDB() {
		l.add(v.target(), "CAST(NULL AS BINARY)")
		return
	}
	l.add(v.target(), "0")
	l.add(v.target(), "NULL")
}

// list is a list of assignments.
type list string

func (l *list) add(target, value string) { l.append(target + " = " + value) }

func (l *list) append(assignment string) {
	if *l != "" {
		*l += ", "
	}
	*l += list(assignment)
}

// save notes that the connection keeps the variable's first value.
func (c *connection) save(name string) {
	if c.saved == nil {
		c.saved = make(map[string]bool)
	}
	c.saved[name] = true
}

// Save lets the lease's connection keep the values that system variables have now, before
// a statement of the session's own changes them for the first time. A variable that
// does not exist is an error of the server's.
func (s *Session) Save(ctx context.Context, names []string) error {
	c := s.res.Value()
	var l list
	for _, name := range names {
		if v := (Setting{Name: name}); !c.saved[name] {
			l.add(v.origin(), "@@session."+name)
		}
	}
	if l == "" {
		return nil
	}
	if err := c.Run(ctx, "SET "+string(l)); err != nil {
		return err
	}
	for _, name := range names {
		c.save(name)
	}
	return nil
}

// Under runs f on the lease's connection in the state that the session was in once. It
// takes no round trips if nothing has changed.
func (s *Session) Under(ctx context.Context, state *State, f func() error) error {
	c := s.res.Value()
	if state.equal(s.state) {
		return f()
	}
	if len(s.owed()) > 0 {
		s.settle(ctx, c)
	}
	if slices.ContainsFunc(state.Settings(), func(v Setting) bool { return v.reads() && v.Value == "" }) {
		state = s.state.WithSchema(state.Schema()) // what it was went by
	}
	now := s.state
	state = now.readAs(state)
	if err := c.bring(ctx, state, s.in.pool.cfg.Schema); err != nil {
		if c.state.Schema() == state.Schema() { // so it was not USE that failed, and nobody knows how far it came
			c.Cut()
		}
		return err
	}
	err := f()
	if back := c.bring(ctx, now, s.in.pool.cfg.Schema); back != nil {
		c.Cut()
		return back
	}
	return err
}

// In reports whether the session is in that state.
func (s *Session) In(state *State) bool { return state.equal(s.state) }

// Blank reports whether the session has set nothing. Other than for State it needs no lease: who takes
// that changes what the session has set only if it owed something.
func (s *Session) Blank() bool { return !s.owing && s.state == nil }

// State returns what the session has set. The session must hold its lease.
func (s *Session) State() *State { return s.state }

// SetSchema notes USE on the session's lease.
func (s *Session) SetSchema(name string) { s.setState(s.state.WithSchema(name)) }

// Set notes variables that were set on the session's lease. Values that are not known, and
// those that the server may have put into a form of its own, are read before the
// connection serves another session.
func (s *Session) Set(settings ...Setting) {
	for i, v := range settings {
		if v.User {
			continue
		}
		if normal, ok := s.in.pool.normal.get(v); ok {
			settings[i].Value = normal
			s.acquit(v)
		} else {
			s.owe(v)
		}
	}
	s.setState(s.state.With(settings...))
}

// setState notes the state on both sides.
func (s *Session) setState(state *State) {
	s.state = state
	s.res.Value().state = state
}
