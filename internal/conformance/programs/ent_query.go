package programs

import (
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/dialect/sql/sqljson"
	"entgo.io/ent/schema/field"
)

func (r *entRun) query() error {
	if err := r.pets(nil); err != nil {
		return err
	}
	r.Printf("cats")
	if err := r.pets(func(spec *sqlgraph.QuerySpec) {
		spec.Predicate = func(s *sql.Selector) {
			s.Where(sql.And(sql.EQ(s.C("kind"), "cat"), sql.Or(sql.IsNull(s.C("price")), sql.GT(s.C("age"), 2)), sql.Contains(s.C("name"), "m")))
		}
		spec.Limit, spec.Offset = 5, 1
	}); err != nil {
		return err
	}
	r.Printf("by JSON")
	return r.pets(func(spec *sqlgraph.QuerySpec) {
		spec.Unique = true
		spec.Predicate = func(s *sql.Selector) { s.Where(sqljson.ValueContains("tags", "a")) }
	})
}

// edges walks from rows to their neighbours.
func (r *entRun) edges() error {
	names := func(what string, s *sql.Selector) error {
		text, args := s.Query()
		rows := &sql.Rows{}
		if err := r.drv.Query(r, text, args, rows); err != nil {
			return err
		}
		defer rows.Close()
		var list []string
		err := sql.ScanSlice(rows, &list)
		r.Printf("%s %v", what, list)
		return err
	}
	friends := sqlgraph.NewStep(sqlgraph.From("users", "id", 2), sqlgraph.To("users", "id"), sqlgraph.Edge(sqlgraph.M2M, false, "user_friends", "user_id", "friend_id"))
	pets := sqlgraph.NewStep(sqlgraph.From("users", "id", 1), sqlgraph.To("pets", "id"), sqlgraph.Edge(sqlgraph.O2M, false, "pets", "owner_id"))
	popular := sql.Dialect(dialect.MySQL).Select("name").From(sql.Table("users"))
	sqlgraph.HasNeighborsWith(popular, sqlgraph.NewStep(sqlgraph.From("users", "id"), sqlgraph.To("pets", "id"), sqlgraph.Edge(sqlgraph.O2M, false, "pets", "owner_id")),
		func(s *sql.Selector) { s.Where(sql.EQ(s.C("kind"), "dog")) })
	ordered := sql.Dialect(dialect.MySQL).Select("name").From(sql.Table("users")).Limit(3)
	sqlgraph.OrderByNeighborsCount(ordered, sqlgraph.NewStep(sqlgraph.From("users", "id"), sqlgraph.To("users", "id"), sqlgraph.Edge(sqlgraph.M2M, false, "user_friends", "user_id", "friend_id")), sql.OrderDesc())
	ordered.OrderBy("name")
	if err := errors.Join(
		names("friends of bob", neighbors(friends)),
		names("pets of ann", neighbors(pets).OrderBy("name")),
		names("with a dog", popular),
		names("most friends", ordered),
	); err != nil {
		return err
	}
	sum := 0
	err := sqlgraph.QueryEdges(r, r.drv, &sqlgraph.EdgeQuerySpec{
		Edge:       friendsEdge(),
		Predicate:  func(s *sql.Selector) { s.Where(sql.LT("user_id", 10)) },
		ScanValues: func() [2]any { return [2]any{new(stdsql.NullInt64), new(stdsql.NullInt64)} },
		Assign: func(out, in any) error {
			sum += int(out.(*stdsql.NullInt64).Int64*100 + in.(*stdsql.NullInt64).Int64)
			return nil
		},
	})
	r.Printf("edges %d", sum)
	return err
}

// neighbors selects the names at the end of a step.
func neighbors(step *sqlgraph.Step) *sql.Selector {
	s := sqlgraph.Neighbors(dialect.MySQL, step)
	return s.Select(s.C("name"))
}

func (r *entRun) update() error {
	spec := sqlgraph.NewUpdateSpec("pets", []string{"id", "name", "age"}, &sqlgraph.FieldSpec{Column: "id", Type: field.TypeInt, Value: 3})
	spec.SetField("name", field.TypeString, "tommy")
	spec.AddField("age", field.TypeUint64, 4)
	spec.ClearField("price", field.TypeFloat64)
	spec.Edges.Add = append(spec.Edges.Add, &sqlgraph.EdgeSpec{
		Rel: sqlgraph.M2O, Inverse: true, Table: "pets", Columns: []string{"owner_id"},
		Target: &sqlgraph.EdgeTarget{Nodes: []driver.Value{2}, IDSpec: sqlgraph.NewFieldSpec("id", field.TypeInt)},
	})
	spec.ScanValues = func([]string) ([]any, error) { return []any{new(int), new(string), new(uint64)}, nil }
	spec.Assign = func(_ []string, v []any) error {
		r.Printf("now %d %s age %d", *v[0].(*int), *v[1].(*string), *v[2].(*uint64))
		return nil
	}
	if err := sqlgraph.UpdateNode(r, r.drv, spec); err != nil {
		return err
	}
	n, err := sqlgraph.UpdateNodes(r, r.drv, &sqlgraph.UpdateSpec{
		Node:      &sqlgraph.NodeSpec{Table: "users", ID: sqlgraph.NewFieldSpec("id", field.TypeInt)},
		Predicate: func(s *sql.Selector) { s.Where(sql.HasPrefix("name", "user")) },
		Fields:    sqlgraph.FieldMut{Set: []*sqlgraph.FieldSpec{{Column: "active", Type: field.TypeBool, Value: true}}},
	})
	r.Printf("users updated %d %v", n, err)
	// Edges of many rows, in a transaction.
	n, err = sqlgraph.UpdateNodes(r, r.drv, &sqlgraph.UpdateSpec{
		Node:      &sqlgraph.NodeSpec{Table: "users", ID: sqlgraph.NewFieldSpec("id", field.TypeInt)},
		Predicate: func(s *sql.Selector) { s.Where(sql.In("name", "user01", "user02")) },
		Edges:     sqlgraph.EdgeMut{Add: []*sqlgraph.EdgeSpec{friendsEdge(2, 3)}, Clear: []*sqlgraph.EdgeSpec{friendsEdge(1)}},
	})
	r.Printf("friends changed %d %v", n, err)
	update := sql.Dialect(dialect.MySQL).Update("pets").Where(sql.EQ("id", 1))
	sqljson.Append(update, "tags", []string{"z"})
	text, args := update.Query()
	var result stdsql.Result
	if err := r.drv.Exec(r, text, args, &result); err != nil {
		return err
	}
	affected, err := result.RowsAffected()
	r.Printf("JSON: rows %d %v", affected, err)
	return errors.Join(r.counts(), r.pets(nil))
}

func (r *entRun) upserts() error {
	for what, options := range [][]sql.ConflictOption{
		{sql.ResolveWithNewValues()},
		{sql.ResolveWithIgnore()},
		{sql.ResolveWith(func(u *sql.UpdateSet) {
			u.Set("age", 50).SetNull("price")
			u.Set("id", sql.Expr("LAST_INSERT_ID(`id`)"))
		})},
	} {
		spec := node("pets", map[string]any{"name": "mia", "kind": "cat", "age": uint64(9 + what)})
		spec.OnConflict = options
		err := sqlgraph.CreateNode(r, r.drv, spec)
		r.Printf("upsert %d: id %v %v", what, spec.ID.Value, err)
	}
	batch := &sqlgraph.BatchCreateSpec{OnConflict: []sql.ConflictOption{sql.ResolveWithNewValues()}}
	for _, name := range []string{"mia", "new"} {
		batch.Nodes = append(batch.Nodes, node("pets", map[string]any{"name": name, "kind": "cat", "age": uint64(1)}))
	}
	r.Error("batch", sqlgraph.BatchCreate(r, r.drv, batch))
	return r.pets(nil)
}

func (r *entRun) transactions() error {
	rename := func(tx dialect.ExecQuerier, name string) error {
		return tx.Exec(r, "UPDATE pets SET name = ? WHERE id = 2", []any{name}, nil)
	}
	for _, commit := range []bool{true, false} {
		tx, err := r.drv.BeginTx(r, &stdsql.TxOptions{Isolation: stdsql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		if err := rename(tx, map[bool]string{true: "committed", false: "rolled back"}[commit]); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		r.Error("duplicate inside", tx.Exec(r, "INSERT INTO users (name) VALUES (?)", []any{"ann"}, nil))
		if commit {
			r.Error("commit", tx.Commit())
		} else {
			r.Error("rollback", tx.Rollback())
		}
		r.Error("afterwards", rename(tx, "too late"))
	}
	tx, err := r.drv.Tx(r)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range []string{"SAVEPOINT a", "UPDATE pets SET age = 1 WHERE id = 2", "SAVEPOINT b", "UPDATE pets SET age = 2 WHERE id = 2", "ROLLBACK TO b", "RELEASE SAVEPOINT a", "ROLLBACK TO b"} {
		r.Error(text, tx.Exec(r, text, []any{}, nil))
	}
	r.Error("commit", tx.Commit())
	return r.pets(func(spec *sqlgraph.QuerySpec) {
		spec.Predicate = func(s *sql.Selector) { s.Where(sql.EQ("id", 2)) }
	})
}

func (r *entRun) locks() error {
	first, err := r.drv.Tx(r)
	if err != nil {
		return err
	}
	defer func() { _ = first.Rollback() }()
	second, err := r.drv.Tx(r)
	if err != nil {
		return err
	}
	defer func() { _ = second.Rollback() }()
	pick := func(what string, tx dialect.Tx, options ...sql.LockOption) {
		text, args := sql.Dialect(dialect.MySQL).Select("id").From(sql.Table("pets")).OrderBy("id").Limit(2).ForUpdate(options...).Query()
		rows := &sql.Rows{}
		if err := tx.Query(r, text, args, rows); err != nil {
			r.Error(what, err)
			return
		}
		defer rows.Close()
		var ids []int
		err := sql.ScanSlice(rows, &ids)
		r.Printf("%s %v %v", what, ids, err)
	}
	pick("first", first)
	pick("skipping", second, sql.WithLockAction(sql.SkipLocked))
	pick("not waiting", second, sql.WithLockAction(sql.NoWait))
	if err := r.counts(); err != nil {
		return err
	}
	return errors.Join(second.Commit(), first.Commit())
}

// variables are set before a statement and taken back after it, on a connection that
// ent takes for both.
func (r *entRun) variables() error {
	ctx := sql.WithVar(sql.WithIntVar(r, "@answer", 42), "@who", "it's me")
	for _, ctx := range []context.Context{sql.WithIntVar(r, "@answer", 42), ctx, r} {
		rows := &sql.Rows{}
		if err := r.drv.Query(ctx, "SELECT CONCAT_WS('/', COALESCE(@answer, 'no'), COALESCE(@who, 'nobody'))", []any{}, rows); err != nil {
			r.Error("variables", err)
			continue
		}
		text, err := sql.ScanString(rows)
		r.Printf("variables %s %v %v", text, err, rows.Close())
	}
	tx, err := r.drv.Tx(r)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	r.Error("insert", tx.Exec(sql.WithVar(r, "@nick", "nicky"), "INSERT INTO users (name) VALUES (CONCAT('with ', @nick))", []any{}, nil))
	r.Error("commit", tx.Commit())
	return r.counts()
}

func (r *entRun) scanning() error {
	rows := &sql.Rows{}
	if err := r.drv.Query(r, "SELECT name, age, price, born, CAST(NULL AS CHAR) AS nothing FROM pets ORDER BY id", []any{}, rows); err != nil {
		return err
	}
	defer rows.Close()
	var pets []struct {
		Name    string
		Age     uint64
		Price   *float64
		Born    *time.Time
		Nothing *string
	}
	if err := sql.ScanSlice(rows, &pets); err != nil {
		return err
	}
	for _, p := range pets {
		r.Printf("%s %d %s %s %s", p.Name, p.Age, null(p.Price), null(p.Born), null(p.Nothing))
	}
	for _, text := range []string{"SELECT 1 FROM users WHERE 1 = 0", "SELECT 1 UNION ALL SELECT 2", "SELECT NULL"} {
		rows := &sql.Rows{}
		if err := r.drv.Query(r, text, []any{}, rows); err != nil {
			return err
		}
		_, err := sql.ScanInt(rows)
		r.Error(text, errors.Join(err, rows.Close()))
	}
	return nil
}

func (r *entRun) cancellation() error {
	ctx, cancel := context.WithTimeout(r, 100*time.Millisecond)
	defer cancel()
	r.Error("deadline", r.drv.Exec(ctx, "DO SLEEP(1)", []any{}, nil))
	ctx, cancel = context.WithTimeout(r, 100*time.Millisecond)
	defer cancel()
	tx, err := r.drv.Tx(ctx)
	if err != nil {
		return err
	}
	r.Error("update", tx.Exec(r, "UPDATE pets SET age = 99", []any{}, nil))
	<-ctx.Done()
	if err := idle(r, r.target.DB); err != nil {
		return err
	}
	r.Printf("commit refused %t", tx.Commit() != nil)
	return r.pets(func(spec *sqlgraph.QuerySpec) { spec.Limit = 2 })
}

func (r *entRun) deletes() error {
	spec := sqlgraph.NewDeleteSpec("users", sqlgraph.NewFieldSpec("id", field.TypeInt))
	spec.Predicate = func(s *sql.Selector) { s.Where(sql.In("name", "ann", "user05")) }
	n, err := sqlgraph.DeleteNodes(r, r.drv, spec)
	r.Printf("deleted %d %v", n, err)
	return errors.Join(r.counts(), r.pets(nil))
}
