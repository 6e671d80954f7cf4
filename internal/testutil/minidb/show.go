package minidb

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// show is SHOW VARIABLES, WARNINGS, ERRORS, TABLES or DATABASES.
type show struct {
	what  string
	scope string
	like  string
	where expression
	only  bool // there is a LIKE
}

func (p *parser) show() any {
	st := &show{scope: "session"}
	if p.accept("GLOBAL") {
		st.scope = "global"
	} else if !p.accept("SESSION") {
		p.accept("LOCAL")
	}
	if st.what = p.one("VARIABLES", "WARNINGS", "ERRORS", "TABLES", "DATABASES"); st.what == "" {
		p.fail()
		return st
	}
	if st.what == "WARNINGS" || st.what == "ERRORS" {
		return st
	}
	if st.only = p.accept("LIKE"); st.only {
		if st.like = p.peek().text; p.take().kind != text {
			p.fail()
		}
	} else if p.accept("WHERE") {
		st.where = p.expression()
	}
	return st
}

func (st *show) columns() []fakemysql.Column {
	switch st.what {
	case "VARIABLES":
		return []fakemysql.Column{fakemysql.Text("Variable_name"), fakemysql.Text("Value")}
	case "TABLES", "DATABASES":
		return []fakemysql.Column{fakemysql.Text(st.what[:1] + strings.ToLower(st.what[1:len(st.what)-1]))}
	}
	return []fakemysql.Column{fakemysql.Text("Level"), described("Code", wire.TypeLong), fakemysql.Text("Message")}
}

// show carries out a SHOW.
func (s *session) show(ctx context.Context, st *show) (*fakemysql.Result, error) {
	result := &fakemysql.Result{Columns: st.columns()}
	var rows [][]any
	switch st.what {
	case "VARIABLES":
		rows = s.showVariables(st.scope)
	case "TABLES":
		in, err := s.schemaOf(tableName{})
		if err != nil {
			return nil, err
		}
		rows = lines(in.tables)
	case "DATABASES":
		rows = lines(s.db.schemas)
	default:
		for _, n := range s.notes {
			if st.what == "WARNINGS" || n.level == "Error" {
				result.Rows = append(result.Rows, []any{n.level, int64(n.err.Number), n.err.Message})
			}
		}
		return result, nil
	}
	e := &env{ctx: ctx, session: s, table: &table{}}
	for _, c := range result.Columns {
		e.table.columns = append(e.table.columns, column{name: strings.ToLower(c.Name), given: c.Name, kind: wire.TypeVarString})
	}
	for _, row := range rows {
		if st.only && !like(characters(row[0]), st.like) {
			continue
		}
		e.row = row
		ok, err := holdsFor(st.where, e)
		if err != nil {
			return nil, err
		}
		if ok {
			result.Rows = append(result.Rows, row)
		}
	}
	return result, nil
}

// lines are the names in a map, but for the unnamed database's.
func lines[V any](of map[string]V) (rows [][]any) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if name != "" {
			rows = append(rows, []any{name})
		}
	}
	return rows
}

func (s *session) showVariables(scope string) (rows [][]any) {
	for _, name := range slices.Sorted(maps.Keys(catalog)) {
		d := catalog[name]
		if scope == "global" && d.scope == perSession {
			continue
		}
		from := scope
		if d.scope == global {
			from = ""
		}
		v, err := s.variable(from, name)
		if err != nil {
			continue // there is none: the scope fits
		}
		rows = append(rows, []any{name, d.shown(v)})
	}
	return rows
}
