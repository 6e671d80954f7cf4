package programs

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"
)

// entProgram calls what ent's generated code calls, ent's SQL runtime, with tables that
// are declared by hand: the code itself would be many files. It holds two transactions
// and asks a question beside them.
var entProgram = Program{Name: "ent", Connections: 3, Lines: 110, Run: func(ctx context.Context, target Target, out *Transcript) {
	r := &entRun{Context: ctx, Transcript: out, target: target, drv: sql.OpenDB(dialect.MySQL, target.DB)}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"migrate", r.migrate},
		{"create", r.create},
		{"batch", r.batch},
		{"query", r.query},
		{"edges", r.edges},
		{"update", r.update},
		{"upserts", r.upserts},
		{"errors", r.errors},
		{"transactions", r.transactions},
		{"locks", r.locks},
		{"variables", r.variables},
		{"scanning", r.scanning},
		{"cancellation", r.cancellation},
		{"delete", r.deletes},
	} {
		out.Step(step.name, step.f)
	}
}}

type entRun struct {
	context.Context
	*Transcript
	target Target
	drv    *sql.Driver
}

// entColumns are a pet's columns in the order in which they are queried.
var entColumns = []string{"id", "name", "age", "price", "tags", "born", "photo", "kind", "token", "owner_id"}

// entTables returns the tables as ent generates them; more adds a column and an index,
// as a later version of the program would.
func entTables(more bool) []*schema.Table {
	userColumns := []*schema.Column{
		{Name: "id", Type: field.TypeInt, Increment: true},
		{Name: "name", Type: field.TypeString, Unique: true, Size: 64},
		{Name: "active", Type: field.TypeBool, Default: true},
	}
	if more {
		userColumns = append(userColumns, &schema.Column{Name: "nick", Type: field.TypeString, Nullable: true})
	}
	users := &schema.Table{Name: "users", Columns: userColumns, PrimaryKey: userColumns[:1]}
	if more {
		users.Indexes = []*schema.Index{{Name: "user_nick_active", Columns: []*schema.Column{userColumns[3], userColumns[2]}}}
	}
	petColumns := []*schema.Column{
		{Name: "id", Type: field.TypeInt, Increment: true},
		{Name: "name", Type: field.TypeString, Size: 64},
		{Name: "age", Type: field.TypeUint64, Default: 0},
		{Name: "price", Type: field.TypeFloat64, Nullable: true, SchemaType: map[string]string{dialect.MySQL: "decimal(20,6)"}},
		{Name: "tags", Type: field.TypeJSON, Nullable: true},
		{Name: "born", Type: field.TypeTime, Nullable: true, SchemaType: map[string]string{dialect.MySQL: "datetime(6)"}},
		{Name: "photo", Type: field.TypeBytes, Nullable: true, Size: 1 << 30},
		{Name: "kind", Type: field.TypeEnum, Enums: []string{"cat", "dog"}, Default: "cat"},
		{Name: "token", Type: field.TypeUUID, Nullable: true, SchemaType: map[string]string{dialect.MySQL: "binary(16)"}},
		{Name: "owner_id", Type: field.TypeInt, Nullable: true},
	}
	pets := &schema.Table{Name: "pets", Columns: petColumns, PrimaryKey: petColumns[:1]}
	pets.Indexes = []*schema.Index{{Name: "pet_name_kind", Unique: true, Columns: []*schema.Column{petColumns[1], petColumns[7]}}}
	pets.ForeignKeys = []*schema.ForeignKey{{
		Symbol: "pets_users_pets", Columns: petColumns[9:], RefTable: users, RefColumns: userColumns[:1], OnDelete: schema.SetNull,
	}}
	friendColumns := []*schema.Column{{Name: "user_id", Type: field.TypeInt}, {Name: "friend_id", Type: field.TypeInt}}
	friends := &schema.Table{Name: "user_friends", Columns: friendColumns, PrimaryKey: friendColumns}
	for i, c := range friendColumns {
		friends.ForeignKeys = append(friends.ForeignKeys, &schema.ForeignKey{
			Symbol: fmt.Sprintf("user_friends_%d", i), Columns: []*schema.Column{c}, RefTable: users, RefColumns: userColumns[:1], OnDelete: schema.Cascade,
		})
	}
	return []*schema.Table{users, pets, friends}
}

// migrate lets Atlas inspect the database and bring it to the tables' state.
func (r *entRun) migrate() error {
	for _, more := range []bool{false, true, true, false} {
		tables, err := schema.CopyTables(entTables(more))
		if err != nil {
			return err
		}
		var plan strings.Builder
		for _, drv := range []dialect.Driver{&schema.WriteDriver{Driver: r.drv, Writer: &plan}, r.drv} {
			m, err := schema.NewMigrate(drv, schema.WithDropColumn(true), schema.WithDropIndex(true), schema.WithForeignKeys(true))
			if err != nil {
				return err
			}
			if err := m.Create(r, tables...); err != nil {
				return err
			}
		}
		r.Printf("plan with more columns %t", more)
		for line := range strings.Lines(plan.String()) {
			r.Printf("%s", strings.TrimSpace(line))
		}
	}
	return nil
}

// node is a spec for a new row.
func node(table string, fields map[string]any) *sqlgraph.CreateSpec {
	spec := sqlgraph.NewCreateSpec(table, sqlgraph.NewFieldSpec("id", field.TypeInt))
	types := map[string]field.Type{
		"name": field.TypeString, "active": field.TypeBool, "age": field.TypeUint64, "price": field.TypeFloat64, "tags": field.TypeJSON,
		"born": field.TypeTime, "photo": field.TypeBytes, "kind": field.TypeEnum, "token": field.TypeUUID,
	}
	// The order of the columns is the text of the statement: it is to be the same in every run.
	for _, column := range []string{"name", "active", "age", "price", "tags", "born", "photo", "kind", "token"} {
		if v, ok := fields[column]; ok {
			spec.SetField(column, types[column], v)
		}
	}
	return spec
}

// edge leads from a user to other rows.
func edge(rel sqlgraph.Rel, table string, columns []string, ids ...int) *sqlgraph.EdgeSpec {
	e := &sqlgraph.EdgeSpec{
		Rel: rel, Table: table, Columns: columns, Bidi: rel == sqlgraph.M2M,
		Target: &sqlgraph.EdgeTarget{IDSpec: sqlgraph.NewFieldSpec("id", field.TypeInt)},
	}
	for _, id := range ids {
		e.Target.Nodes = append(e.Target.Nodes, id)
	}
	return e
}

func friendsEdge(ids ...int) *sqlgraph.EdgeSpec {
	return edge(sqlgraph.M2M, "user_friends", []string{"user_id", "friend_id"}, ids...)
}

func petsEdge(ids ...int) *sqlgraph.EdgeSpec {
	return edge(sqlgraph.O2M, "pets", []string{"owner_id"}, ids...)
}

func (r *entRun) create() error {
	for i, fields := range []map[string]any{
		{
			"name": "rex", "age": uint64(1<<63 - 1), "price": 1234.5678, "tags": []byte(`["a", {"b": null}]`), "born": noon,
			"photo": pattern(100000), "kind": "dog", "token": pattern(16),
		},
		{"name": "mia", "kind": "cat"},
		{"name": "tom", "kind": "cat", "price": nil, "age": uint64(3)},
	} {
		spec := node("pets", fields)
		if err := sqlgraph.CreateNode(r, r.drv, spec); err != nil {
			return err
		}
		r.Printf("pet %d has id %v", i, spec.ID.Value)
	}
	// More than one statement, so in a transaction.
	for _, name := range []string{"ann", "bob", "cid"} {
		spec := node("users", map[string]any{"name": name, "active": name != "cid"})
		switch name {
		case "ann":
			spec.Edges = append(spec.Edges, petsEdge(1, 2))
		case "bob":
			spec.Edges = append(spec.Edges, friendsEdge(1))
		}
		if err := sqlgraph.CreateNode(r, r.drv, spec); err != nil {
			return err
		}
		r.Printf("%s has id %v", name, spec.ID.Value)
	}
	return nil
}

func (r *entRun) batch() error {
	batch := &sqlgraph.BatchCreateSpec{}
	for i := range 30 {
		spec := node("users", map[string]any{"name": fmt.Sprintf("user%02d", i), "active": i%3 != 0})
		spec.Edges = append(spec.Edges, friendsEdge(1))
		batch.Nodes = append(batch.Nodes, spec)
	}
	if err := sqlgraph.BatchCreate(r, r.drv, batch); err != nil {
		return err
	}
	r.Printf("ids %v to %v", batch.Nodes[0].ID.Value, batch.Nodes[29].ID.Value)
	return r.counts()
}

// counts writes down how many rows there are.
func (r *entRun) counts() error {
	for _, table := range []string{"users", "pets"} {
		n, err := sqlgraph.CountNodes(r, r.drv, sqlgraph.NewQuerySpec(table, []string{"id"}, sqlgraph.NewFieldSpec("id", field.TypeInt)))
		if err != nil {
			return err
		}
		r.Printf("%s: %d rows", table, n)
	}
	rows := &sql.Rows{}
	if err := r.drv.Query(r, "SELECT COUNT(*) FROM user_friends", []any{}, rows); err != nil {
		return err
	}
	defer rows.Close()
	n, err := sql.ScanInt(rows)
	r.Printf("user_friends: %d rows", n)
	return err
}

// pets queries pets and writes them down.
func (r *entRun) pets(change func(*sqlgraph.QuerySpec)) error {
	spec := sqlgraph.NewQuerySpec("pets", entColumns, sqlgraph.NewFieldSpec("id", field.TypeInt))
	spec.Order = func(s *sql.Selector) { s.OrderBy(s.C("id")) }
	spec.ScanValues = func(columns []string) ([]any, error) {
		return []any{
			new(stdsql.NullInt64), new(stdsql.NullString), new(uint64), new(stdsql.NullString), new([]byte), new(stdsql.NullTime), new([]byte),
			new(stdsql.NullString), new([]byte), new(stdsql.NullInt64),
		}[:len(columns)], nil
	}
	spec.Assign = func(_ []string, v []any) error {
		r.Printf("pet %d %s age %d price %v tags %s born %s photo %s kind %s token %x owner %v", v[0].(*stdsql.NullInt64).Int64, v[1].(*stdsql.NullString).String,
			*v[2].(*uint64), *v[3].(*stdsql.NullString), *v[4].(*[]byte), v[5].(*stdsql.NullTime).Time.Format(time.RFC3339Nano), digest(*v[6].(*[]byte)),
			v[7].(*stdsql.NullString).String, *v[8].(*[]byte), *v[9].(*stdsql.NullInt64))
		return nil
	}
	if change != nil {
		change(spec)
	}
	return sqlgraph.QueryNodes(r, r.drv, spec)
}

func (r *entRun) errors() error {
	err := sqlgraph.CreateNode(r, r.drv, node("users", map[string]any{"name": "ann", "active": true}))
	r.Error("duplicate", err)
	r.Printf("unique %t, foreign key %t, constraint %t", sqlgraph.IsUniqueConstraintError(err), sqlgraph.IsForeignKeyConstraintError(err), sqlgraph.IsConstraintError(err))
	spec := node("users", map[string]any{"name": "eve", "active": true})
	spec.Edges = append(spec.Edges, friendsEdge(4711))
	err = sqlgraph.CreateNode(r, r.drv, spec)
	r.Error("unknown friend", err)
	r.Printf("foreign key %t", sqlgraph.IsForeignKeyConstraintError(err))
	// The pet is somebody's already.
	spec = node("users", map[string]any{"name": "eve", "active": true})
	spec.Edges = append(spec.Edges, petsEdge(1))
	r.Error("taken", sqlgraph.CreateNode(r, r.drv, spec))
	err = sqlgraph.UpdateNode(r, r.drv, &sqlgraph.UpdateSpec{
		Node:       &sqlgraph.NodeSpec{Table: "pets", Columns: []string{"id"}, ID: &sqlgraph.FieldSpec{Column: "id", Type: field.TypeInt, Value: 4711}},
		Fields:     sqlgraph.FieldMut{Set: []*sqlgraph.FieldSpec{{Column: "name", Type: field.TypeString, Value: "nobody"}}},
		ScanValues: func([]string) ([]any, error) { return []any{new(int)}, nil },
		Assign:     func([]string, []any) error { return nil },
	})
	r.Error("not there", err)
	_, ok := errors.AsType[*sqlgraph.NotFoundError](err)
	r.Printf("not found %t", ok)
	r.Error("bad kind", sqlgraph.CreateNode(r, r.drv, node("pets", map[string]any{"name": "x", "kind": "fish"})))
	r.Error("bad JSON", sqlgraph.CreateNode(r, r.drv, node("pets", map[string]any{"name": "x", "kind": "cat", "tags": []byte("{")})))
	r.Error("syntax", r.drv.Exec(r, "SELEKT", []any{}, nil))
	return r.counts()
}
