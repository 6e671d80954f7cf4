package minidb

import (
	"context"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

type (
	// begin is BEGIN or START TRANSACTION.
	begin struct{ readOnly, readWrite bool }
	// ending is COMMIT or ROLLBACK.
	ending struct{ commit, chain bool }
	// savepoint is SAVEPOINT, ROLLBACK TO or RELEASE SAVEPOINT.
	savepoint struct{ verb, name string }
	// use is USE.
	use struct{ name string }
	// evaluation is DO.
	evaluation struct{ values []expression }
	// kill is KILL.
	kill struct {
		query bool
		id    expression
	}
)

// control reads transaction control, nil if it is none.
func (p *parser) control(verb string) any {
	switch verb {
	case "BEGIN":
		p.accept("WORK")
		return &begin{}
	case "START":
		return p.start()
	case "SAVEPOINT":
		return &savepoint{verb, p.name()}
	case "RELEASE":
		p.expect("SAVEPOINT")
		return &savepoint{verb, p.name()}
	case "COMMIT", "ROLLBACK":
	default:
		return nil
	}
	p.accept("WORK")
	if verb == "ROLLBACK" && p.accept("TO") {
		p.accept("SAVEPOINT")
		return &savepoint{verb, p.name()}
	}
	st := &ending{commit: verb == "COMMIT"}
	if p.accept("AND") {
		st.chain = !p.accept("NO")
		p.expect("CHAIN")
	}
	if p.accept("NO") {
		p.expect("RELEASE")
	}
	return st
}

func (p *parser) start() any {
	p.expect("TRANSACTION")
	st := &begin{}
	if k := p.peek().kind; k == end || p.is(";") {
		return st
	}
	several(p, func() any {
		switch {
		case p.accept("READ", "ONLY"):
			st.readOnly = true
		case p.accept("READ", "WRITE"):
			st.readWrite = true
		default:
			p.expect("WITH", "CONSISTENT", "SNAPSHOT")
		}
		return nil
	})
	if st.readOnly && st.readWrite {
		p.fail()
	}
	return st
}

func (p *parser) kill() any {
	st := &kill{}
	if st.query = p.accept("QUERY"); !st.query {
		p.accept("CONNECTION")
	}
	st.id = p.expression()
	return st
}

// begin opens a transaction; an open one is committed.
func (s *session) begin(st *begin) error {
	next := s.nextReadOnly
	if err := s.end(true); err != nil {
		return err
	}
	s.explicit, s.readOnly = true, isTrue(s.values["transaction_read_only"])
	if next != nil {
		s.readOnly = *next
	}
	if st.readOnly || st.readWrite {
		s.readOnly = st.readOnly
	}
	s.nextReadOnly = nil
	return nil
}

// end ends the transaction, if there is one. A COMMIT of changes is refused, and rolls
// back, on a server that has become read only meanwhile.
func (s *session) end(commit bool) (err error) {
	if commit && s.tx != nil && s.tx.writes() && s.db.isReadOnly() {
		commit, err = false, serverReadOnly()
	}
	if s.tx != nil {
		s.tx.end(commit)
	}
	s.tx, s.explicit, s.readOnly, s.nextReadOnly = nil, false, false, nil
	return err
}

// finish carries out COMMIT and ROLLBACK.
func (s *session) finish(st *ending) error {
	readOnly := s.readOnly
	if err := s.end(st.commit); err != nil {
		return err
	}
	if st.chain {
		s.explicit, s.readOnly = true, readOnly
	}
	return nil
}

func (s *session) savepoint(st *savepoint) error {
	if s.tx == nil {
		switch {
		case st.verb != "SAVEPOINT":
			return noSavepoint(st.name)
		case !s.explicit && s.isAutocommit():
			return nil // it ends with the statement
		}
		s.tx = &transaction{db: s.db}
	}
	switch st.verb {
	case "SAVEPOINT":
		s.tx.save(st.name)
		return nil
	case "ROLLBACK":
		return s.tx.back(st.name)
	}
	return s.tx.release(st.name)
}

// kill carries out KILL. The database is not locked: the victim needs it.
func (s *session) kill(ctx context.Context, st *kill, args []any) (*fakemysql.Result, error) {
	s.db.mu.Lock()
	v, err := st.id.eval(&env{ctx: ctx, session: s, args: args})
	s.db.mu.Unlock()
	if err != nil {
		return nil, err
	}
	id, ok := integer(v)
	const most = 1<<32 - 1
	if !ok || id < 0 || id > most || s.info.Kill == nil || !s.info.Kill(uint32(id), st.query) {
		return nil, fail(1094, "Unknown thread id: %s", characters(v))
	}
	if id == int64(s.info.ID) {
		return nil, fakemysql.Interrupted()
	}
	return &fakemysql.Result{}, nil
}

// isDefinition reports whether a statement commits what is open. Temporary tables do
// not.
func isDefinition(node any) bool {
	switch node := node.(type) {
	case *creation:
		return !node.temporary
	case *drop:
		return !node.temporary
	case *truncation, *schemaChange:
		return true
	}
	return false
}

// written are the tables that a statement changes, ok is false if it changes none.
func written(node any) (tables []tableName, ok bool) {
	switch node := node.(type) {
	case *insertion:
		return []tableName{node.into}, true
	case *update:
		return []tableName{node.table}, true
	case *deletion:
		return []tableName{node.from}, true
	case *truncation:
		return []tableName{node.table}, true
	case *drop:
		return node.tables, true
	case *creation:
		return nil, !node.temporary
	case *schemaChange:
		return nil, true
	}
	return nil, false
}

// permit refuses changes in a READ ONLY transaction and on a server that is read only.
// Temporary tables may be changed.
func (s *session) permit(node any) error {
	tables, ok := written(node)
	if !ok {
		return nil
	}
	temporary := len(tables) > 0
	for _, name := range tables {
		temporary = temporary && s.temporary[s.schemaName(name)+"."+name.name] != nil
	}
	if temporary {
		return nil
	}
	readOnly := s.readOnly
	if !s.explicit { // it is a transaction by itself, or autocommit is off
		readOnly = isTrue(s.values["transaction_read_only"])
		if s.nextReadOnly != nil {
			readOnly = *s.nextReadOnly
		}
	}
	switch {
	case readOnly:
		return fail(1792, "Cannot execute statement in a READ ONLY transaction.")
	case s.db.isReadOnly():
		return serverReadOnly()
	}
	return nil
}

func serverReadOnly() error {
	return fail(1290, "The MySQL server is running with the --read-only option so it cannot execute this statement")
}

func (db *DB) isReadOnly() bool { return isTrue(db.globals["read_only"]) }

// lookup finds a table; a temporary one comes before others.
func (s *session) lookup(name tableName) (*table, error) {
	in := s.schemaName(name)
	if t := s.temporary[in+"."+name.name]; t != nil {
		return t, nil
	}
	if strings.EqualFold(in, "information_schema") {
		return nil, fail(1109, "Unknown table '%s' in information_schema", strings.ToUpper(name.name))
	}
	schema := s.db.schemas[in]
	if schema == nil {
		return nil, unknownDatabase(in)
	}
	t := schema.tables[name.name]
	if t == nil {
		return nil, noTable(s.qualified(name))
	}
	return t, nil
}

func noTable(name string) error { return fail(1146, "Table '%s' doesn't exist", name) }

// use finds a table for a statement. As long as the transaction lasts, nobody drops
// it; a read that is a transaction by itself needs no such lock.
func (s *session) use(ctx context.Context, name tableName, locks bool) (*table, error) {
	t, err := s.lookup(name)
	if err != nil || t.temporary || !locks && !s.explicit && s.isAutocommit() {
		return t, err
	}
	if err := s.tx.acquire(ctx, &t.metadata, false, s.seconds("lock_wait_timeout")); err != nil {
		return nil, err
	}
	if t.gone {
		return nil, noTable(s.qualified(name))
	}
	return t, nil
}
