package minidb

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

type (
	// creation is a CREATE TABLE.
	creation struct {
		table              tableName
		temporary, lenient bool // lenient = IF NOT EXISTS
		columns            []column
		key                []int
	}
	// drop is a DROP TABLE.
	drop struct {
		tables             []tableName
		temporary, lenient bool // lenient = IF EXISTS
	}
	// truncation is a TRUNCATE TABLE.
	truncation struct{ table tableName }
	// schemaChange is a CREATE or DROP DATABASE.
	schemaChange struct {
		name          string
		drop, lenient bool
	}
)

func (p *parser) creation() any {
	if p.accept("DATABASE") || p.accept("SCHEMA") {
		lenient := p.accept("IF", "NOT", "EXISTS")
		st := &schemaChange{name: p.name(), lenient: lenient}
		p.options()
		return st
	}
	st := &creation{temporary: p.accept("TEMPORARY")}
	p.expect("TABLE")
	st.lenient = p.accept("IF", "NOT", "EXISTS")
	st.table = p.table()
	var keys [][]string
	inParentheses(p, func() any {
		if p.accept("PRIMARY", "KEY") {
			keys = append(keys, inParentheses(p, p.column))
		} else {
			st.columns = append(st.columns, p.definition())
		}
		return nil
	})
	p.options()
	if p.err == nil {
		st.finish(p, keys)
	}
	return st
}

// finish checks the columns and finds those of the primary key.
func (st *creation) finish(p *parser, keys [][]string) {
	for i := range st.columns {
		c := &st.columns[i]
		if slices.ContainsFunc(st.columns[:i], func(o column) bool { return o.name == c.name }) {
			p.refuse(fail(1060, "Duplicate column name '%s'", c.given))
		}
		if c.primaryHere {
			keys = append(keys, []string{c.name})
		}
	}
	if len(st.columns) == 0 {
		p.refuse(fail(4028, "A table must have at least one visible column."))
	}
	if len(keys) > 1 {
		p.refuse(fail(1068, "Multiple primary key defined"))
	}
	for _, name := range slices.Concat(keys...) {
		i := slices.IndexFunc(st.columns, func(c column) bool { return c.name == name })
		if i < 0 {
			p.refuse(fail(1072, "Key column '%s' doesn't exist in table", name))
			return
		}
		st.columns[i].notNull = true
		st.key = append(st.key, i)
	}
	autos := 0
	for i := range st.columns {
		if st.columns[i].auto {
			if autos++; !slices.Contains(st.key, i) || autos > 1 {
				p.refuse(fail(1075, "Incorrect table definition; there can be only one auto column and it must be defined as a key"))
			}
		}
	}
}

// kinds are the column types.
var kinds = map[string]byte{
	"BIGINT": wire.TypeLongLong, "INT": wire.TypeLong, "INTEGER": wire.TypeLong, "DOUBLE": wire.TypeDouble,
	"VARCHAR": wire.TypeVarString, "CHAR": wire.TypeVarString, "TEXT": wire.TypeBlob, "DATETIME": wire.TypeDateTime,
}

// definition reads a column.
func (p *parser) definition() column {
	c := column{given: p.name()}
	c.name = strings.ToLower(c.given)
	typeName := strings.ToUpper(p.peek().text)
	kind, ok := kinds[typeName]
	if !ok || p.peek().kind != word {
		p.fail()
		return c
	}
	p.take()
	c.kind = kind
	p.length(&c, typeName)
	c.unsigned = isInteger(kind) && p.accept("UNSIGNED")
	for {
		switch {
		case p.accept("NOT", "NULL"):
			c.notNull = true
		case p.accept("NULL"):
		case p.accept("AUTO_INCREMENT"):
			c.auto, c.notNull = true, true
			if !isInteger(kind) {
				p.refuse(fail(1063, "Incorrect column specifier for column '%s'", c.given))
			}
		case p.accept("PRIMARY", "KEY"):
			c.primaryHere = true
		case p.accept("DEFAULT"):
			c.hasDefault, c.defaultsTo = true, p.operand()
			if p.accept("(", ")") && p.err == nil { // CURRENT_TIMESTAMP()
				continue
			}
		case p.accept("COMMENT"):
			if p.take().kind != text {
				p.fail()
			}
		default:
			return c
		}
	}
}

// length reads the (n) of a type.
func (p *parser) length(c *column, typeName string) {
	c.most = 1
	if !p.accept("(") {
		if typeName == "VARCHAR" {
			p.fail()
		}
		return
	}
	n, err := strconv.ParseUint(p.peek().text, 10, 16)
	if err != nil || c.kind == wire.TypeBlob || c.kind == wire.TypeDouble {
		p.fail()
	}
	c.most = int(n)
	p.take()
	p.expect(")")
}

// options passes ENGINE=InnoDB, DEFAULT CHARSET=utf8mb4 and the like.
func (p *parser) options() {
	for p.peek().kind == word {
		p.accept("DEFAULT")
		switch {
		case p.accept("ENGINE"), p.accept("CHARSET"), p.accept("COLLATE"), p.accept("AUTO_INCREMENT"), p.accept("COMMENT"):
		case p.accept("CHARACTER", "SET"):
		default:
			p.fail()
		}
		p.accept("=")
		if k := p.take().kind; k != word && k != number && k != text && k != quoted {
			p.fail()
		}
	}
}

func (p *parser) drop() any {
	if p.accept("DATABASE") || p.accept("SCHEMA") {
		lenient := p.accept("IF", "EXISTS")
		return &schemaChange{name: p.name(), drop: true, lenient: lenient}
	}
	st := &drop{temporary: p.accept("TEMPORARY")}
	p.expect("TABLE")
	st.lenient = p.accept("IF", "EXISTS")
	st.tables = several(p, p.table)
	return st
}

// create carries out a CREATE TABLE.
func (s *session) create(st *creation) (*fakemysql.Result, error) {
	in, err := s.schemaOf(st.table)
	if err != nil {
		return nil, err
	}
	tables := in.tables
	schemaName := s.schemaName(st.table)
	name := st.table.name
	if st.temporary {
		tables, name = s.temporary, schemaName+"."+name
	}
	if tables[name] != nil {
		exists := fail(1050, "Table '%s' already exists", st.table.name)
		if !st.lenient {
			return nil, exists
		}
		return s.noted(exists), nil
	}
	t := newTable(schemaName, st.table.name, st.columns, st.key)
	t.temporary = st.temporary
	tables[name] = t
	return &fakemysql.Result{}, nil
}

// dropTables carries out a DROP TABLE: of all, or of none if one is not there.
func (s *session) dropTables(ctx context.Context, st *drop) (*fakemysql.Result, error) {
	var found []*table
	var missing []string
	for _, name := range st.tables {
		t, err := s.lookup(name)
		if err != nil || st.temporary && !t.temporary {
			missing = append(missing, s.qualified(name))
			continue
		}
		if err := s.exclude(ctx, t); err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	unknown := fail(1051, "Unknown table '%s'", strings.Join(missing, ","))
	if len(missing) > 0 && !st.lenient {
		return nil, unknown
	}
	for _, t := range found {
		t.gone = true
		if t.temporary {
			delete(s.temporary, t.schema+"."+t.name)
		} else {
			delete(s.db.schemas[t.schema].tables, t.name)
		}
	}
	if len(missing) > 0 {
		return s.noted(unknown), nil
	}
	return &fakemysql.Result{}, nil
}

// truncate carries out a TRUNCATE TABLE.
func (s *session) truncate(ctx context.Context, st *truncation) (*fakemysql.Result, error) {
	t, err := s.lookup(st.table)
	if err != nil {
		return nil, err
	}
	if err := s.exclude(ctx, t); err != nil {
		return nil, err
	}
	t.clear()
	return &fakemysql.Result{}, nil
}

// exclude waits until no transaction uses the table any more, and keeps others out.
func (s *session) exclude(ctx context.Context, t *table) error {
	if t.temporary {
		return nil
	}
	if err := s.tx.acquire(ctx, &t.metadata, true, s.seconds("lock_wait_timeout")); err != nil {
		return err
	}
	if t.gone {
		return noTable(s.qualified(tableName{schema: t.schema, name: t.name}))
	}
	return nil
}

// changeSchema carries out CREATE and DROP DATABASE.
func (s *session) changeSchema(ctx context.Context, st *schemaChange) (*fakemysql.Result, error) {
	in := s.db.schemas[st.name]
	switch {
	case !st.drop && in == nil:
		s.db.schemas[st.name] = newSchema()
		return &fakemysql.Result{Affected: 1}, nil
	case !st.drop:
		exists := fail(1007, "Can't create database '%s'; database exists", st.name)
		if !st.lenient {
			return nil, exists
		}
		result := s.noted(exists)
		result.Affected = 1
		return result, nil
	case in == nil:
		missing := fail(1008, "Can't drop database '%s'; database doesn't exist", st.name)
		if !st.lenient {
			return nil, missing
		}
		return s.noted(missing), nil
	}
	for len(in.tables) > 0 { // waiting for one, others may come
		for name, t := range in.tables {
			if err := s.exclude(ctx, t); err != nil {
				return nil, err
			}
			t.gone = true
			delete(in.tables, name)
			break
		}
	}
	delete(s.db.schemas, st.name)
	if s.database == st.name {
		s.database = ""
	}
	return &fakemysql.Result{}, nil
}
