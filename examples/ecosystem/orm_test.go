package ecosystem

import (
	"context"
	"errors"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jmoiron/sqlx"
	"github.com/uptrace/bun"
	"gorm.io/gorm"
	"xorm.io/xorm"
)

// The tests of this file lose the writer in the middle of each library's transaction.

func TestGORM(t *testing.T) {
	for name, config := range map[string]gorm.Config{
		"plain":    {},
		"prepared": {PrepareStmt: true, SkipDefaultTransaction: true},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, c *cluster) { c.outlivesGORM(openGORM(t, c.dsn, config)) })
		})
	}
}

func TestSQLX(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		db, err := OpenSQLX(c.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c.outlives(func(ctx context.Context) (n int, err error) {
			err = db.GetContext(ctx, &n, "SELECT COUNT(*) FROM orders")
			return n, err
		}, func(ctx context.Context, middle func()) error {
			return SQLXTransaction(ctx, db, nil, func(tx *sqlx.Tx) error {
				const text = "INSERT INTO orders (item, quantity) VALUES (:item, :quantity)"
				if _, err := tx.NamedExecContext(ctx, text, Order{Item: "tea", Quantity: 1}); err != nil {
					return err
				}
				middle()
				_, err := tx.NamedExecContext(ctx, text, Order{Item: "cup", Quantity: 2})
				return err
			})
		})
		// The second name that OpenSQLX gives is what Rebind goes by.
		if sqlx.BindType(db.DriverName()) != sqlx.QUESTION || sqlx.BindType("failoverproxy") != sqlx.UNKNOWN {
			t.Errorf("%s: %d, failoverproxy: %d", db.DriverName(), sqlx.BindType(db.DriverName()), sqlx.BindType("failoverproxy"))
		}
	})
}

func TestBun(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := OpenBun(over, c.dsn); !errors.Is(err, context.Canceled) {
			t.Errorf("opened in no time: %v", err)
		}
		db, err := OpenBun(t.Context(), c.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c.outlives(func(ctx context.Context) (int, error) {
			n, err := db.NewSelect().Model((*Order)(nil)).Count(ctx)
			return int(n), err
		}, func(ctx context.Context, middle func()) error {
			return BunTransaction(ctx, db, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.NewInsert().Model(&Order{Item: "tea", Quantity: 1}).Exec(ctx); err != nil {
					return err
				}
				middle()
				_, err := tx.NewInsert().Model(&Order{Item: "cup", Quantity: 2}).Exec(ctx)
				return err
			})
		})
	})
}

// TestEnt calls what ent's generated code calls: the code itself would be many files.
func TestEnt(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		drv, err := OpenEnt(c.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer drv.Close()
		build := entsql.Dialect(dialect.MySQL)
		c.outlives(func(ctx context.Context) (int, error) {
			query, args := build.Select(entsql.Count("*")).From(entsql.Table("orders")).Query()
			var rows entsql.Rows
			if err := drv.Query(ctx, query, args, &rows); err != nil {
				return 0, err
			}
			defer rows.Close()
			return entsql.ScanInt(rows)
		}, func(ctx context.Context, middle func()) error {
			return EntTransaction(ctx, drv, func(tx dialect.Tx) error {
				query, args := build.Insert("orders").Columns("item", "quantity").Values("tea", 1).Query()
				if err := tx.Exec(ctx, query, args, nil); err != nil {
					return err
				}
				middle()
				return tx.Exec(ctx, query, args, nil)
			})
		})
	})
}

func TestSQLC(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		db, q, err := OpenSQLC(c.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c.outlives(func(ctx context.Context) (int, error) {
			n, err := q.CountOrders(ctx)
			return int(n), err
		}, func(ctx context.Context, middle func()) error {
			return SQLCTransaction(ctx, db, q, func(q *Queries) error {
				if _, err := q.CreateOrder(ctx, CreateOrderParams{Item: "tea", Quantity: 1}); err != nil {
					return err
				}
				middle()
				_, err := q.CreateOrder(ctx, CreateOrderParams{Item: "cup", Quantity: 2})
				return err
			})
		})
	})
}

func TestXORM(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		if _, err := xorm.NewEngine("failoverproxy", c.dsn); err == nil {
			t.Error("xorm knows the driver's name: OpenXORM can be simpler")
		}
		engine, err := OpenXORM(c.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		c.outlives(func(ctx context.Context) (int, error) {
			n, err := engine.Context(ctx).Table("orders").Count()
			return int(n), err
		}, func(ctx context.Context, middle func()) error {
			return XORMTransaction(ctx, engine, func(session *xorm.Session) error {
				if _, err := session.Table("orders").Insert(map[string]any{"item": "tea", "quantity": 1}); err != nil {
					return err
				}
				middle()
				_, err := session.Table("orders").Insert(map[string]any{"item": "cup", "quantity": 2})
				return err
			})
		})
	})
}
