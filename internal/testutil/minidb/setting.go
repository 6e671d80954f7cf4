package minidb

import (
	"context"
	"strings"
)

// setting is a SET.
type setting struct{ assignments []assignment }

// assignment is one of SET's: of a user variable, of a system variable, or of
// transaction characteristics.
type assignment struct {
	user  bool
	scope string // "", session, global; next for SET TRANSACTION
	name  string
	value expression // nil = DEFAULT
}

func (p *parser) setting() any {
	st := &setting{}
	several(p, func() any {
		st.assignments = append(st.assignments, p.assignments()...)
		return nil
	})
	return st
}

// assignments reads what is between commas, which may be several by itself.
func (p *parser) assignments() []assignment {
	switch t := p.peek(); t.kind {
	case userVar:
		p.take()
		p.assigned()
		return []assignment{{user: true, name: t.text, value: p.expression()}}
	case systemVar:
		p.take()
		v, _ := systemVariableOf(t.text).(*systemVariable)
		return []assignment{p.systemAssignment(v.scope, v.name)}
	}
	switch {
	case p.accept("NAMES"), p.accept("CHARACTER", "SET"), p.accept("CHARSET"):
		return p.characterSet()
	}
	scope := strings.ToLower(p.one("GLOBAL", "SESSION", "LOCAL"))
	if scope == "local" {
		scope = "session"
	}
	if p.accept("TRANSACTION") {
		if scope == "" {
			scope = "next"
		}
		return several(p, func() assignment { return p.characteristic(scope) })
	}
	return []assignment{p.systemAssignment(scope, p.column())}
}

func (p *parser) assigned() {
	if !p.accept(":=") {
		p.expect("=")
	}
}

// systemAssignment reads the value of a system variable: a bare word is a text.
func (p *parser) systemAssignment(scope, name string) assignment {
	p.assigned()
	a := assignment{scope: scope, name: name}
	if p.accept("DEFAULT") {
		return a
	}
	if t := p.peek(); t.kind == word && strings.EqualFold(t.text, "ON") { // a reserved word
		p.take()
		a.value = &literal{t.text}
		return a
	}
	a.value = p.expression()
	if r, ok := a.value.(*reference); ok {
		a.value = &literal{r.given}
	}
	return a
}

func (p *parser) characterSet() (all []assignment) {
	t := p.take()
	if t.kind != word && t.kind != text && t.kind != quoted {
		p.fail()
	}
	value := expression(&literal{t.text})
	if t.kind == word && strings.EqualFold(t.text, "DEFAULT") {
		value = nil
	}
	for _, name := range []string{"character_set_client", "character_set_connection", "character_set_results"} {
		all = append(all, assignment{scope: "session", name: name, value: value})
	}
	if p.accept("COLLATE") {
		if t = p.take(); t.kind != word && t.kind != text && t.kind != quoted {
			p.fail()
		}
		all = append(all, assignment{scope: "session", name: "collation_connection", value: &literal{t.text}})
	}
	return all
}

// characteristic reads READ ONLY, READ WRITE or ISOLATION LEVEL.
func (p *parser) characteristic(scope string) assignment {
	switch {
	case p.accept("READ", "ONLY"):
		return assignment{scope: scope, name: "transaction_read_only", value: &literal{int64(1)}}
	case p.accept("READ", "WRITE"):
		return assignment{scope: scope, name: "transaction_read_only", value: &literal{int64(0)}}
	}
	p.expect("ISOLATION", "LEVEL")
	for _, level := range []string{"READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
		if p.accept(strings.Fields(level)...) {
			return assignment{scope: scope, name: "transaction_isolation", value: &literal{strings.ReplaceAll(level, " ", "-")}}
		}
	}
	p.fail()
	return assignment{}
}

// set carries out a SET: all of it, or nothing.
func (s *session) set(ctx context.Context, st *setting, args []any) error {
	e := &env{ctx: ctx, session: s, args: args}
	values := make([]any, len(st.assignments))
	for i, a := range st.assignments {
		var err error
		if values[i], err = s.check(e, a); err != nil {
			return err
		}
	}
	for i, a := range st.assignments {
		if err := s.assign(a, values[i]); err != nil {
			return err
		}
	}
	return nil
}

// check finds the value of an assignment, if it is allowed.
func (s *session) check(e *env, a assignment) (any, error) {
	if a.user {
		return a.value.eval(e)
	}
	d, ok := catalog[a.name]
	if !ok {
		return nil, unknownVariable(a.name)
	}
	switch {
	case a.scope == "next" && s.InTransaction():
		return nil, fail(1568, "Transaction characteristics can't be changed while a transaction is in progress")
	case d.fixed:
		return nil, fail(1238, "Variable '%s' is a read only variable", a.name)
	case d.scope == global && a.scope != "global":
		return nil, fail(1229, "Variable '%s' is a GLOBAL variable and should be set with SET GLOBAL", a.name)
	case d.scope == perSession && a.scope == "global":
		return nil, fail(1228, "Variable '%s' is a SESSION variable and can't be used with SET GLOBAL", a.name)
	case a.value == nil && a.scope != "global":
		return s.variable("global", a.name)
	case a.value == nil:
		return d.value, nil
	}
	v, err := a.value.eval(e)
	if err != nil {
		return nil, err
	}
	return d.accept(a.name, v)
}

// assign carries out one assignment.
func (s *session) assign(a assignment, v any) error {
	switch {
	case a.user:
		s.user[a.name] = v
	case a.scope == "next":
		if a.name == "transaction_read_only" {
			readOnly := isTrue(v)
			s.nextReadOnly = &readOnly
		}
	case a.scope == "global":
		s.db.globals[a.name] = v
		if a.name == "super_read_only" && isTrue(v) { // implies the other
			s.db.globals["read_only"] = v
		}
		if a.name == "read_only" && !isTrue(v) {
			s.db.globals["super_read_only"] = v
		}
	case a.name == "autocommit" && isTrue(v) && !s.isAutocommit():
		s.values[a.name] = v
		return s.end(true)
	case a.name == "last_insert_id":
		n, _ := integer(v)
		s.lastID = uint64(n)
	default:
		if s.values[a.name] = v; a.name == "sql_mode" {
			s.mode = modeOf(characters(v))
		}
	}
	return nil
}
