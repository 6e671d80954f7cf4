package programs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

func (r *bunRun) selects() error {
	var authors []bunAuthor
	count, err := r.db.NewSelect().Model(&authors).Where("flag = ?", true).Order("name DESC").Limit(3).Offset(1).ScanAndCount(r)
	if err != nil {
		return err
	}
	r.Printf("%d of %d", len(authors), count)
	for _, a := range authors {
		r.Printf("author %q", a.Name)
	}
	exists, err := r.db.NewSelect().Model((*bunAuthor)(nil)).Where("name = ?", "author03").Exists(r)
	r.Printf("exists %t %v", exists, err)
	var ids []int64
	var all []string
	if err := r.db.NewSelect().Model((*bunAuthor)(nil)).Column("id", "name").Where("id IN (?)", bun.List([]int{2, 3, 5})).Order("id").Scan(r, &ids, &all); err != nil {
		return err
	}
	r.Printf("columns %v %v", ids, all)
	// One statement of many parts.
	flags := r.db.NewSelect().Model((*bunAuthor)(nil)).ColumnExpr("flag, COUNT(*) AS n, SUM(rating) AS sum").Group("flag")
	var groups []struct {
		Flag bool
		N    int
		Sum  sql.NullString
	}
	if err := r.db.NewSelect().With("flags", flags).TableExpr("flags").OrderExpr("flag").Scan(r, &groups); err != nil {
		return err
	}
	r.Printf("groups %v", groups)
	union := r.db.NewSelect().ColumnExpr("1 AS n").UnionAll(r.db.NewSelect().ColumnExpr("2 AS n"))
	var n []int
	if err := r.db.NewSelect().TableExpr("(?) AS u", union).Column("n").OrderExpr("n DESC").Scan(r, &n); err != nil {
		return err
	}
	r.Printf("union %v", n)
	values := r.db.NewValues(&[]map[string]any{{"x": 1}})
	r.Printf("text %s, values %t", r.db.NewSelect().Model((*bunGenre)(nil)).Where("name = ?", "a'b\\").String(), values != nil)
	return nil
}

func (r *bunRun) relations() error {
	var authors []bunAuthor
	if err := r.db.NewSelect().Model(&authors).Relation("Desk").
		Relation("Books", func(q *bun.SelectQuery) *bun.SelectQuery { return q.Order("title DESC") }).
		Where("a.id < 4").Order("a.id").Scan(r); err != nil {
		return err
	}
	for _, a := range authors {
		place := "nowhere"
		if a.Desk != nil {
			place = a.Desk.Place
		}
		r.Printf("author %d at %s with %d books", a.ID, place, len(a.Books))
		for _, b := range a.Books {
			r.Printf("book %s", b.Title)
		}
	}
	var books []bunBook
	if err := r.db.NewSelect().Model(&books).Column("b.id", "b.title").Relation("Author").Relation("Genres").Order("b.id").Scan(r); err != nil {
		return err
	}
	for _, b := range books {
		r.Printf("%s by %d: %v", b.Title, b.Author.ID, b.Genres)
	}
	return nil
}

func (r *bunRun) update() error {
	var calls []string
	ctx := context.WithValue(r.Context, bunCalls{}, &calls)
	result, err := r.db.NewUpdate().Model(&bunAuthor{ID: 2, Name: "author00", Ratio: 1e-300, Wide: 1<<64 - 1}).Column("ratio", "wide").WherePK().Exec(ctx)
	r.Error("columns", err)
	r.result("columns", result)
	result, err = r.db.NewUpdate().Model(&bunAuthor{ID: 3, Email: new("three@example.com")}).OmitZero().WherePK().Exec(ctx)
	r.Error("not zero", err)
	r.result("not zero", result)
	result, err = r.db.NewUpdate().Model((*bunAuthor)(nil)).Set("rating = COALESCE(rating, ?) * ?", "1.5", 2).Where("id BETWEEN ? AND ?", 1, 5).Exec(ctx)
	r.Error("expression", err)
	r.result("expression", result)
	result, err = r.db.NewUpdate().Model((*bunAuthor)(nil)).Set("flag = flag").Where("id < 5").Exec(ctx)
	r.Error("no change", err)
	r.result("no change", result)
	result, err = r.db.NewUpdate().Table("desks", "authors").Set("desks.place = authors.name").Where("desks.author_id = authors.id AND authors.id = 2").Exec(ctx)
	r.Error("two tables", err)
	r.result("two tables", result)
	r.Printf("hooks %v", calls)
	var rows []struct {
		ID     int64
		Rating sql.NullString
		Wide   uint64
		Ratio  float64
	}
	if err := r.db.NewSelect().Model((*bunAuthor)(nil)).Column("id", "rating", "wide", "ratio").Where("id <= 6").Order("id").Scan(r, &rows); err != nil {
		return err
	}
	r.Printf("rows %v", rows)
	return nil
}

func (r *bunRun) upserts() error {
	result, err := r.db.NewInsert().Model(&bunGenre{Name: "crime"}).On("DUPLICATE KEY UPDATE").Set("name = CONCAT(VALUES(name), '!')").Exec(r)
	r.Error("update", err)
	r.result("update", result)
	result, err = r.db.NewInsert().Model(&[]bunGenre{{Name: "love"}, {Name: "war"}}).Ignore().Exec(r)
	r.Error("ignore", err)
	r.result("ignore", result)
	result, err = r.db.NewInsert().Model(&bunGenre{ID: 2, Name: "peace"}).Replace().Exec(r)
	r.Error("replace", err)
	r.result("replace", result)
	var genres []string
	if err := r.db.NewSelect().Model((*bunGenre)(nil)).Column("name").Order("name").Scan(r, &genres); err != nil {
		return err
	}
	r.Printf("genres %v", genres)
	return nil
}

func (r *bunRun) streams() error {
	rows, err := r.db.NewSelect().Model((*bunAuthor)(nil)).Where("name LIKE 'author%'").Order("id").Rows(r)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a bunAuthor
		if err := r.db.ScanRow(r, rows, &a); err != nil {
			return err
		}
		n, err := r.db.NewSelect().Model((*bunBook)(nil)).Where("author_id = ?", a.ID).Count(r)
		if err != nil {
			return err
		}
		if n > 0 {
			r.Printf("%s wrote %d", a.Name, n)
		}
	}
	return rows.Err()
}

func (r *bunRun) transactions() error {
	genre := func(db bun.IDB, name string) error {
		_, err := db.NewInsert().Model(&bunGenre{Name: name}).Exec(r)
		return err
	}
	r.Error("committed", r.db.RunInTx(r, nil, func(_ context.Context, tx bun.Tx) error { return genre(tx, "committed") }))
	r.Error("rolled back", r.db.RunInTx(r, nil, func(_ context.Context, tx bun.Tx) error {
		return errors.Join(genre(tx, "rolled back"), errByHand)
	}))
	r.Error("read only", r.db.RunInTx(r, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelSerializable}, func(_ context.Context, tx bun.Tx) error {
		return genre(tx, "read only")
	}))
	// A transaction in a transaction is a savepoint.
	r.Error("nested", r.db.RunInTx(r, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := genre(tx, "outer"); err != nil {
			return err
		}
		inner := tx.RunInTx(ctx, nil, func(_ context.Context, tx bun.Tx) error {
			return errors.Join(genre(tx, "inner that fails"), errByHand)
		})
		r.Error("inner", inner)
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			r.Error("deeper", tx.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return errByHand }))
			return genre(tx, "inner")
		})
	}))
	tx, err := r.db.BeginTx(r, nil)
	if err != nil {
		return err
	}
	r.Error("by hand", genre(tx, "by hand"))
	outside, err := r.db.NewSelect().Model((*bunGenre)(nil)).Where("name = 'by hand'").Count(r)
	r.Printf("seen outside %d %v", outside, err)
	r.Error("rollback", tx.Rollback())
	r.Error("again", tx.Rollback())
	r.Error("afterwards", genre(tx, "too late"))
	// DDL commits by itself, and the transaction that Go believes in goes on.
	r.Error("DDL", r.db.RunInTx(r, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := genre(tx, "before the DDL"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE ddl (id INT)"); err != nil {
			return err
		}
		return errors.Join(genre(tx, "after the DDL"), errByHand)
	}))
	var genres []string
	if err := r.db.NewSelect().Model((*bunGenre)(nil)).Column("name").Order("name").Scan(r, &genres); err != nil {
		return err
	}
	r.Printf("genres %q", genres)
	return nil
}

func (r *bunRun) locks() error {
	return r.db.RunInTx(r, nil, func(ctx context.Context, first bun.Tx) error {
		pick := func(tx bun.Tx, how string) ([]int64, error) {
			var ids []int64
			err := tx.NewSelect().Model((*bunDesk)(nil)).Column("id").Order("id").Limit(1).For(how).Scan(ctx, &ids)
			return ids, err
		}
		ids, err := pick(first, "UPDATE")
		r.Printf("first %v %v", ids, err)
		return r.db.RunInTx(r, nil, func(_ context.Context, second bun.Tx) error {
			ids, err := pick(second, "UPDATE SKIP LOCKED")
			r.Printf("skipping %v %v", ids, err)
			_, err = pick(second, "UPDATE NOWAIT")
			r.Error("not waiting", err)
			n, err := r.db.NewSelect().Model((*bunDesk)(nil)).Count(ctx)
			r.Printf("beside them %d %v", n, err)
			return nil
		})
	})
}

func (r *bunRun) prepared() error {
	stmt, err := r.db.PrepareContext(r, "SELECT name FROM authors WHERE id = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for id := range 4 {
		var name string
		err := stmt.QueryRowContext(r, id).Scan(&name)
		r.Printf("%d: %q %v", id, name, err)
	}
	_, err = r.db.PrepareContext(r, "SELECT nothing FROM authors WHERE id = ?")
	r.Error("prepare", err)
	return nil
}

func (r *bunRun) connection() error {
	conn, err := r.db.Conn(r)
	if err != nil {
		return err
	}
	defer conn.Close()
	result, err := conn.ExecContext(r, "SET @who = ?, time_zone = '+05:30'", "me")
	r.Error("set", err)
	r.result("set", result)
	// bun's own word for it, TEMP, is PostgreSQL's.
	if _, err = conn.NewRaw("CREATE TEMPORARY TABLE genres (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(32) UNIQUE)").Exec(r); err != nil {
		return err
	}
	// The temporary table hides the other one.
	if result, err = conn.NewInsert().Model(&[]bunGenre{{Name: "a"}, {Name: "b"}}).Exec(r); err != nil {
		return err
	}
	r.result("insert", result)
	var who, zone, id string
	if err := conn.QueryRowContext(r, "SELECT @who, @@time_zone, LAST_INSERT_ID()").Scan(&who, &zone, &id); err != nil {
		return err
	}
	n, err := conn.NewSelect().Model((*bunGenre)(nil)).Count(r)
	r.Printf("%s %s %s, %d rows, %v", who, zone, id, n, err)
	err = conn.RunInTx(r, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Model((*bunGenre)(nil)).Where("name = 'a'").Exec(ctx)
		return errors.Join(err, errByHand)
	})
	r.Error("transaction", err)
	n, err = conn.NewSelect().Model((*bunGenre)(nil)).Count(r)
	r.Printf("%d rows, %v", n, err)
	if _, err = conn.ExecContext(r, "DROP TEMPORARY TABLE genres"); err != nil {
		return err
	}
	n, err = conn.NewSelect().Model((*bunGenre)(nil)).Count(r)
	r.Printf("%d rows, %v", n, err)
	_, err = conn.ExecContext(r, "SET time_zone = DEFAULT")
	return err
}

func (r *bunRun) concurrency() error {
	r.target.DB.SetMaxOpenConns(6)
	defer r.target.DB.SetMaxOpenConns(0)
	failed := make([]error, 6)
	var wg sync.WaitGroup
	for w := range failed {
		wg.Go(func() {
			for i := range 10 {
				_, err := r.db.NewInsert().Model(&bunDesk{AuthorID: int64(100 + w), Place: fmt.Sprint(i)}).Exec(r)
				n, err2 := r.db.NewSelect().Model((*bunDesk)(nil)).Where("author_id = ?", 100+w).Count(r)
				if err2 == nil && n != int64(i+1) {
					err2 = fmt.Errorf("worker %d found %d desks after %d", w, n, i+1)
				}
				failed[w] = errors.Join(failed[w], err, err2)
			}
		})
	}
	wg.Wait()
	n, err := r.db.NewSelect().Model((*bunDesk)(nil)).Where("author_id >= 100").Count(r)
	r.Printf("%d desks", n)
	return errors.Join(append(failed, err)...)
}

func (r *bunRun) cancellation() error {
	ctx, cancel := context.WithTimeout(r, 150*time.Millisecond)
	defer cancel()
	var n int
	r.Error("deadline", r.db.NewRaw("SELECT SLEEP(1)").Scan(ctx, &n))
	_, err := r.db.NewUpdate().Model((*bunDesk)(nil)).Set("place = 'x'").Where("1 = 1").Exec(ctx)
	r.Error("over", err)
	ctx, cancel = context.WithTimeout(r, 150*time.Millisecond)
	defer cancel()
	err = r.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*bunDesk)(nil)).Where("1 = 1").Exec(ctx); err != nil {
			return err
		}
		return tx.NewRaw("SELECT SLEEP(0.5)").Scan(ctx, &n)
	})
	r.Error("in a transaction", err)
	if err := idle(r, r.target.DB); err != nil {
		return err
	}
	desks, err := r.db.NewSelect().Model((*bunDesk)(nil)).Count(r)
	r.Printf("%d desks", desks)
	return err
}

func (r *bunRun) deletes() error {
	result, err := r.db.NewDelete().Model(&bunAuthor{ID: 4}).WherePK().Exec(r)
	r.Error("soft", err)
	r.result("soft", result)
	n, err := r.db.NewSelect().Model((*bunAuthor)(nil)).Count(r)
	deleted, err2 := r.db.NewSelect().Model((*bunAuthor)(nil)).WhereDeleted().Count(r)
	r.Printf("left %d %v, deleted %d %v", n, err, deleted, err2)
	result, err = r.db.NewDelete().Model((*bunAuthor)(nil)).Where("id > 10").ForceDelete().Exec(r)
	r.Error("hard", err)
	r.result("hard", result)
	_, err = r.db.NewTruncateTable().Model((*bunDesk)(nil)).Exec(r)
	r.Error("truncate", err)
	_, err = r.db.NewDropTable().Model((*bunDesk)(nil)).Exec(r)
	r.Error("drop", err)
	_, err = r.db.NewDropTable().Model((*bunDesk)(nil)).Exec(r)
	r.Error("again", err)
	return nil
}
