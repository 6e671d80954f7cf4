package programs

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/migrate"
)

// bunProgram holds two transactions and asks a question beside them. bun puts arguments
// into the text itself, so the server gets text with values of every kind in it.
var bunProgram = Program{Name: "bun", Connections: 3, Lines: 140, Run: func(ctx context.Context, target Target, out *Transcript) {
	// A dialect that cannot ask for the server's version panics.
	var db *bun.DB
	queries := new(bunQueries)
	out.Step("open", func() error {
		db = bun.NewDB(target.DB, mysqldialect.New()).WithQueryHook(queries)
		return db.PingContext(ctx)
	})
	if db == nil {
		return
	}
	r := &bunRun{Context: ctx, Transcript: out, target: target, db: db}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"tables", r.tables},
		{"migrations", r.migrations},
		{"insert", r.insert},
		{"values", r.values},
		{"select", r.selects},
		{"relations", r.relations},
		{"update", r.update},
		{"upserts", r.upserts},
		{"errors", r.errors},
		{"streams", r.streams},
		{"transactions", r.transactions},
		{"locks", r.locks},
		{"prepared", r.prepared},
		{"connection", r.connection},
		{"concurrency", r.concurrency},
		{"cancellation", r.cancellation},
		{"delete", r.deletes},
	} {
		out.Step(step.name, step.f)
	}
	out.Printf("some failed queries seen by the hook: %t", queries.failed.Load() > 0)
}}

type bunRun struct {
	context.Context
	*Transcript
	target Target
	db     *bun.DB
}

// bunQueries is a hook around every query.
type bunQueries struct{ all, failed atomic.Int64 }

func (q *bunQueries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (q *bunQueries) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	q.all.Add(1)
	if e.Err != nil {
		q.failed.Add(1)
	}
}

type bunAuthor struct {
	bun.BaseModel `bun:"table:authors,alias:a"`

	ID      int64          `bun:",pk,autoincrement"`
	Name    string         `bun:",unique,notnull,type:varchar(64)"`
	Email   *string        `bun:",nullzero,type:varchar(64)"`
	Rating  sql.NullString `bun:"type:decimal(20,8)"`
	Meta    map[string]any `bun:"type:json"`
	Photo   []byte         `bun:"type:longblob"`
	Born    bun.NullTime   `bun:"type:datetime(6)"`
	Wide    uint64         `bun:"type:bigint unsigned"`
	Ratio   float64
	Flag    bool
	Created time.Time  `bun:"type:datetime(3),notnull"`
	Deleted *time.Time `bun:",soft_delete,nullzero"`
	Books   []*bunBook `bun:"rel:has-many,join:id=author_id"`
	Desk    *bunDesk   `bun:"rel:has-one,join:id=author_id"`
}

type bunDesk struct {
	bun.BaseModel `bun:"table:desks"`

	ID       int64 `bun:",pk,autoincrement"`
	AuthorID int64
	Place    string `bun:"type:varchar(64)"`
}

type bunBook struct {
	bun.BaseModel `bun:"table:books,alias:b"`

	ID       int64 `bun:",pk,autoincrement"`
	AuthorID int64
	Author   *bunAuthor `bun:"rel:belongs-to,join:author_id=id"`
	Title    string     `bun:"type:varchar(128)"`
	Text     string     `bun:"type:longtext"`
	Genres   []bunGenre `bun:"m2m:book_genres,join:Book=Genre"`
}

type bunGenre struct {
	bun.BaseModel `bun:"table:genres"`

	ID   int64  `bun:",pk,autoincrement"`
	Name string `bun:"type:varchar(32),unique"`
}

type bunBookGenre struct {
	bun.BaseModel `bun:"table:book_genres"`

	BookID  int64     `bun:",pk"`
	Book    *bunBook  `bun:"rel:belongs-to,join:book_id=id"`
	GenreID int64     `bun:",pk"`
	Genre   *bunGenre `bun:"rel:belongs-to,join:genre_id=id"`
}

type bunCalls struct{}

// BeforeAppendModel is a hook: it gives authors their time.
func (a *bunAuthor) BeforeAppendModel(ctx context.Context, query bun.Query) error {
	if _, ok := query.(*bun.InsertQuery); ok && a.Created.IsZero() {
		a.Created = noon
	}
	if calls, ok := ctx.Value(bunCalls{}).(*[]string); ok {
		*calls = append(*calls, fmt.Sprintf("%T %s", query, a.Name))
	}
	return nil
}

func (r *bunRun) tables() error {
	r.db.RegisterModel((*bunBookGenre)(nil))
	for _, model := range []any{(*bunAuthor)(nil), (*bunDesk)(nil), (*bunBook)(nil), (*bunGenre)(nil), (*bunBookGenre)(nil)} {
		if err := r.db.ResetModel(r, model); err != nil {
			return err
		}
	}
	_, err := r.db.NewCreateIndex().Model((*bunBook)(nil)).Index("books_title").Column("title").Exec(r)
	if err != nil {
		return err
	}
	_, err = r.db.NewAddColumn().Model((*bunDesk)(nil)).ColumnExpr("height INT NULL").Exec(r)
	if err != nil {
		return err
	}
	_, err = r.db.NewDropColumn().Model((*bunDesk)(nil)).Column("height").Exec(r)
	r.Error("drop a column", err)
	_, err = r.db.NewCreateTable().Model((*bunDesk)(nil)).Exec(r)
	r.Error("again", err)
	_, err = r.db.NewCreateTable().Model((*bunDesk)(nil)).IfNotExists().Exec(r)
	r.Error("if it does not exist", err)
	return nil
}

// migrations runs bun's migrator, which keeps its lock in a table.
func (r *bunRun) migrations() error {
	migrations := migrate.NewMigrations()
	for i, text := range []string{"CREATE TABLE m1 (id INT)", "ALTER TABLE m1 ADD COLUMN t VARCHAR(10)", "CREATE TABLE m1 (id INT)"} {
		migrations.Add(migrate.Migration{
			Name: fmt.Sprintf("2024010100000%d", i), Comment: fmt.Sprintf("step%d", i),
			Up: func(ctx context.Context, m *migrate.Migrator, _ *migrate.Migration) error {
				_, err := m.DB().ExecContext(ctx, text)
				return err
			},
			Down: func(ctx context.Context, m *migrate.Migrator, _ *migrate.Migration) error {
				_, err := m.DB().ExecContext(ctx, "DROP TABLE IF EXISTS m1")
				return err
			},
		})
	}
	m := migrate.NewMigrator(r.db, migrations, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(r); err != nil {
		return err
	}
	r.Error("lock", m.Lock(r))
	r.Printf("locked again %t", m.Lock(r) == nil)
	group, err := m.Migrate(r)
	r.Error("the third fails", err)
	r.Printf("group %d with %d migrations", group.ID, len(group.Migrations))
	status, err := m.MigrationsWithStatus(r)
	if err != nil {
		return err
	}
	r.Printf("applied %v, left %v", names(status.Applied()), names(status.Unapplied()))
	group, err = m.Rollback(r)
	r.Error("rollback", err)
	r.Printf("rolled back %v", names(group.Migrations))
	r.Error("unlock", m.Unlock(r))
	return nil
}

func names(migrations migrate.MigrationSlice) []string {
	var n []string
	for _, m := range migrations {
		n = append(n, m.Name+"_"+m.Comment)
	}
	return n
}

func (r *bunRun) insert() error {
	ann := &bunAuthor{
		Name: "ann 'quoted' \\ \"double\" \x00 zero", Email: new("ann@example.com"), Rating: sql.NullString{String: "123456789012.12345678", Valid: true},
		Meta: map[string]any{"a": []int{1, 2}, "ключ": "🙂 'x'"}, Photo: pattern(5000), Born: bun.NullTime{Time: noon}, Wide: 1<<63 - 1, Ratio: -0.1, Flag: true,
	}
	result, err := r.db.NewInsert().Model(ann).Exec(r)
	if err != nil {
		return err
	}
	r.result("one", result)
	r.Printf("id %d", ann.ID)
	authors := make([]*bunAuthor, 20)
	for i := range authors {
		authors[i] = &bunAuthor{Name: fmt.Sprintf("author%02d", i), Ratio: float64(i) / 3, Flag: i%2 == 0}
	}
	if result, err = r.db.NewInsert().Model(&authors).Exec(r); err != nil {
		return err
	}
	r.result("many", result)
	genres := []bunGenre{{Name: "crime"}, {Name: "love"}}
	if result, err = r.db.NewInsert().Model(&genres).Exec(r); err != nil {
		return err
	}
	r.result("genres", result)
	for i, a := range []int64{1, 1, 2} {
		book := &bunBook{AuthorID: a, Title: fmt.Sprintf("book %d", i), Text: strings.Repeat(fmt.Sprintf("page %d ", i), 50000)}
		if _, err = r.db.NewInsert().Model(book).Exec(r); err != nil {
			return err
		}
		if _, err = r.db.NewInsert().Model(&bunBookGenre{BookID: book.ID, GenreID: int64(i%2 + 1)}).Exec(r); err != nil {
			return err
		}
	}
	result, err = r.db.NewInsert().Model(&bunDesk{AuthorID: 1, Place: "window"}).Exec(r)
	r.Error("desk", err)
	r.result("desk", result)
	result, err = r.db.NewInsert().Model(&map[string]any{"author_id": 2, "place": "door"}).Table("desks").Exec(r)
	r.Error("map", err)
	r.result("map", result)
	return nil
}

// result writes down what the server said of a statement.
func (r *bunRun) result(what string, result sql.Result) {
	if result == nil {
		r.Printf("%s: no result", what)
		return
	}
	id, err := result.LastInsertId()
	rows, err2 := result.RowsAffected()
	r.Printf("%s: id %d %v, rows %d %v", what, id, err, rows, err2)
}

func (r *bunRun) values() error {
	var authors []bunAuthor
	if err := r.db.NewSelect().Model(&authors).Order("id").Scan(r); err != nil {
		return err
	}
	for _, a := range authors {
		r.Printf("%d %q email %s rating %v meta %v photo %s born %s wide %d ratio %v flag %t created %s",
			a.ID, a.Name, null(a.Email), a.Rating, a.Meta, digest(a.Photo), a.Born.Format(time.RFC3339Nano), a.Wide, a.Ratio, a.Flag, a.Created.Format(time.RFC3339Nano))
	}
	var books []bunBook
	if err := r.db.NewSelect().Model(&books).Order("id").Scan(r); err != nil {
		return err
	}
	for _, b := range books {
		r.Printf("%s: %s", b.Title, digest([]byte(b.Text)))
	}
	var maps []map[string]any
	if err := r.db.NewSelect().Table("authors").Column("id", "name", "rating", "ratio", "born").Where("id < 3").Order("id").Scan(r, &maps); err != nil {
		return err
	}
	for _, m := range maps {
		r.Printf("map %T %v %T %T %v %T %v", m["id"], m["id"], m["name"], m["rating"], m["rating"], m["ratio"], m["ratio"])
	}
	return nil
}

func (r *bunRun) errors() error {
	_, err := r.db.NewInsert().Model(&bunAuthor{Name: "author00"}).Exec(r)
	r.Error("duplicate", err)
	_, err = r.db.NewInsert().Model(&bunGenre{Name: strings.Repeat("x", 33)}).Exec(r)
	r.Error("too long", err)
	r.Error("no row", r.db.NewSelect().Model(new(bunAuthor)).Where("id = 4711").Scan(r))
	r.Error("no table", r.db.NewSelect().Table("nowhere").Scan(r, new(int)))
	_, err = r.db.NewRaw("SELEKT ?", 1).Exec(r)
	r.Error("syntax", err)
	_, err = r.db.NewUpdate().Model(&bunAuthor{ID: 1}).Set("rating = 'much'").WherePK().Exec(r)
	r.Error("bad decimal", err)
	_, err = r.db.NewUpdate().Model((*bunAuthor)(nil)).Set("flag = 1").Exec(r)
	r.Error("no condition", err)
	var n int
	r.Error("division", r.db.NewRaw("SELECT CAST('x' AS UNSIGNED) + (SELECT id FROM authors)").Scan(r, &n))
	return nil
}
