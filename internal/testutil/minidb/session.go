package minidb

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// session is one connection's.
type session struct {
	db        *DB
	info      fakemysql.ConnInfo
	database  string            // "" = none was chosen
	temporary map[string]*table // by database.name
	values    map[string]any    // system variables
	user      map[string]any    // user variables
	mode      mode
	lastID    uint64
	rowCount  int64
	notes     []note

	tx           *transaction // nil while nothing is locked or changed
	explicit     bool         // BEGIN was said
	readOnly     bool         // the explicit transaction is READ ONLY
	nextReadOnly *bool        // SET TRANSACTION READ ONLY: of the next one
}

// note is a line of SHOW WARNINGS.
type note struct {
	level string
	err   *fakemysql.Error
}

func newSession(db *DB, c fakemysql.ConnInfo) *session {
	s := &session{db: db, info: c, database: c.Database, temporary: map[string]*table{}, user: map[string]any{}}
	s.values = make(map[string]any, len(catalog))
	for name, v := range catalog {
		s.values[name] = v.value
	}
	maps.Copy(s.values, db.globals)
	s.mode = modeOf(characters(s.values["sql_mode"]))
	return s
}

var _ fakemysql.StatusSession = (*session)(nil)

// Execute implements fakemysql.Session. A client that hangs up while its statement
// waits for a lock ends the wait as a KILL would; a real server waits on. A statement
// that does not wait is carried out whether the client is still there or not.
func (s *session) Execute(ctx context.Context, sql string, args []any) fakemysql.Reply {
	statements, err := s.db.parse(sql, s.mode)
	if err == nil && len(statements) > 1 && s.info.Capabilities&wire.ClientMultiStatements == 0 {
		err = syntaxError(sql)
	}
	if err == nil && args == nil && statements[0].params > 0 {
		err = syntaxError("?")
	}
	if err != nil {
		s.notes = []note{{"Error", err}}
		return fakemysql.Reply{Results: []fakemysql.Result{{Err: err}}}
	}
	results := make([]fakemysql.Result, 0, len(statements))
	for _, st := range statements {
		result := s.run(ctx, st, args)
		result.Status = s.Status()
		if s.InTransaction() {
			result.Status |= wire.StatusInTrans
		}
		results = append(results, *result)
		if result.Err != nil {
			break
		}
	}
	return fakemysql.Reply{Results: results}
}

// run carries out one statement.
func (s *session) run(ctx context.Context, st *statement, args []any) *fakemysql.Result {
	if _, ok := st.node.(*show); !ok {
		s.notes = nil
	}
	var result *fakemysql.Result
	var err error
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, fakemysql.ErrKilledQuery), errors.Is(cause, fakemysql.ErrKilledConnection):
		err = fakemysql.Interrupted()
	default:
		result, err = s.dispatch(ctx, st, args)
	}
	if err != nil {
		result = &fakemysql.Result{Err: asError(err)}
		s.notes = []note{{"Error", result.Err}}
	}
	s.rowCount = int64(result.Affected)
	if result.Err != nil || result.Columns != nil {
		s.rowCount = -1
	}
	return result
}

// dispatch carries out what needs the database's lock with it.
func (s *session) dispatch(ctx context.Context, st *statement, args []any) (*fakemysql.Result, error) {
	if k, ok := st.node.(*kill); ok {
		return s.kill(ctx, k, args)
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.permit(st.node); err != nil {
		return nil, err
	}
	switch node := st.node.(type) {
	case *begin:
		return done(s.begin(node))
	case *ending:
		return done(s.finish(node))
	case *savepoint:
		return done(s.savepoint(node))
	case *use:
		if s.db.schemas[node.name] == nil {
			return nil, unknownDatabase(node.name)
		}
		s.database = node.name
		return &fakemysql.Result{}, nil
	case *setting:
		return done(s.set(ctx, node, args))
	case *show:
		return s.show(ctx, node)
	}
	return s.atomically(ctx, st, args)
}

func done(err error) (*fakemysql.Result, error) { return &fakemysql.Result{}, err }

// atomically carries out a statement about tables: it takes effect as a whole, or not
// at all, and is a transaction by itself unless one is open.
func (s *session) atomically(ctx context.Context, st *statement, args []any) (*fakemysql.Result, error) {
	definition := isDefinition(st.node)
	if definition && s.InTransaction() {
		if err := s.end(true); err != nil {
			return nil, err
		}
	}
	own := s.tx == nil
	if own {
		s.tx = &transaction{db: s.db}
	}
	before := len(s.tx.undo)
	result, err := s.execute(ctx, st, args)
	if err != nil {
		if e, ok := errors.AsType[*fakemysql.Error](err); ok && e.Number == 1213 {
			_ = s.end(false) // a rollback does not fail
			return nil, err
		}
		s.tx.undoTo(before)
	}
	switch {
	case definition || !s.explicit && s.isAutocommit():
		if failed := s.end(err == nil); err == nil {
			err = failed
		}
	case own && !s.explicit && len(s.tx.locks) == 0:
		s.tx = nil // it was not about tables: no transaction has begun
	}
	return result, err
}

func (s *session) execute(ctx context.Context, st *statement, args []any) (*fakemysql.Result, error) {
	switch node := st.node.(type) {
	case *selection:
		return s.query(ctx, st, node, args)
	case *insertion:
		return s.insert(ctx, node, args)
	case *update:
		return s.update(ctx, node, args)
	case *deletion:
		return s.remove(ctx, node, args)
	case *creation:
		return s.create(node)
	case *drop:
		return s.dropTables(ctx, node)
	case *truncation:
		return s.truncate(ctx, node)
	case *schemaChange:
		return s.changeSchema(ctx, node)
	case *evaluation:
		e := &env{ctx: ctx, session: s, args: args}
		for _, x := range node.values {
			if _, err := x.eval(e); err != nil {
				return nil, err
			}
		}
		return &fakemysql.Result{}, nil
	}
	return nil, fail(1105, "minidb: a statement that nobody carries out: %T", st.node)
}

// Describe implements fakemysql.Session.
func (s *session) Describe(sql string) (int, []fakemysql.Column, *fakemysql.Error) {
	statements, err := s.db.parse(sql, s.mode)
	if err == nil && len(statements) > 1 {
		err = syntaxError(sql)
	}
	if err != nil {
		return 0, nil, err
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	st := statements[0]
	var problem error
	var columns []fakemysql.Column
	switch node := st.node.(type) {
	case *selection:
		columns, problem = s.describe(node)
	case *show:
		columns = node.columns()
	case *insertion:
		_, problem = s.lookup(node.into)
	case *update:
		_, problem = s.lookup(node.table)
	case *deletion:
		_, problem = s.lookup(node.from)
	}
	if problem != nil {
		return 0, nil, asError(problem)
	}
	return st.params, columns, nil
}

// describe finds the columns of a SELECT's result.
func (s *session) describe(q *selection) ([]fakemysql.Column, error) {
	e := &env{session: s}
	if q.from != nil {
		t, err := s.lookup(*q.from)
		if err != nil {
			return nil, err
		}
		e.bind(t, q.from)
	}
	outputs, err := q.expand(e)
	if err != nil {
		return nil, err
	}
	return columnsOf(e.table, outputs, nil), nil
}

// InTransaction implements fakemysql.Session.
func (s *session) InTransaction() bool { return s.explicit || s.tx != nil }

// Status implements fakemysql.StatusSession.
func (s *session) Status() (flags uint16) {
	if s.isAutocommit() {
		flags |= wire.StatusAutocommit
	}
	if s.mode&noBackslashEscapes != 0 {
		flags |= wire.StatusNoBackslashEscapes
	}
	if s.explicit && s.readOnly {
		flags |= wire.StatusInTransReadonly
	}
	return flags
}

// Close implements fakemysql.Session: it rolls back.
func (s *session) Close() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	_ = s.end(false) // a rollback does not fail
	s.temporary = nil
}

func (s *session) isAutocommit() bool { return isTrue(s.values["autocommit"]) }

// seconds is a system variable as a duration.
func (s *session) seconds(name string) time.Duration {
	n, _ := integer(s.values[name])
	const most = 1 << 31
	return time.Duration(min(n, most)) * time.Second
}

// patience is how long a statement waits for a row.
func (s *session) patience() time.Duration { return s.seconds("innodb_lock_wait_timeout") }

// noted is a result with a note, which SHOW WARNINGS tells.
func (s *session) noted(err *fakemysql.Error) *fakemysql.Result {
	s.notes = append(s.notes, note{"Note", err})
	return &fakemysql.Result{Warnings: 1}
}

func (s *session) schemaName(name tableName) string {
	if name.schema != "" {
		return name.schema
	}
	return s.database
}

func (s *session) schemaOf(name tableName) (*schema, error) {
	in := s.db.schemas[s.schemaName(name)]
	if in == nil {
		return nil, unknownDatabase(s.schemaName(name))
	}
	return in, nil
}

// qualified is a table's name as errors tell it.
func (s *session) qualified(name tableName) string {
	if in := s.schemaName(name); in != "" {
		return in + "." + name.name
	}
	return name.name
}
