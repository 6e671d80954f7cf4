package driver

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// drivers are the raw driver and ours, side by side in one process:
// benchstat -col /driver compares them.
var drivers = map[string]func(b *testing.B, dsn string) *sql.DB{
	"mysql": func(b *testing.B, dsn string) *sql.DB {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			b.Fatal(err)
		}
		c, err := mysql.NewConnector(cfg)
		if err != nil {
			b.Fatal(err)
		}
		return sql.OpenDB(c)
	},
	Name: func(b *testing.B, dsn string) *sql.DB {
		cfg, err := ParseDSN(dsn)
		if err != nil {
			b.Fatal(err)
		}
		cfg.PoolSize = 8
		db, err := OpenDB(cfg, WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			b.Fatal(err)
		}
		return db
	},
}

// compare runs a benchmark with both drivers on both servers that are installed. The
// pool has 8 connections: ours by fpPoolSize, the raw driver's by SetMaxOpenConns.
func compare(b *testing.B, run func(b *testing.B, db *sql.DB)) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		b.Run(fmt.Sprintf("server=%s", flavor), func(b *testing.B) {
			s, database := mysqld.Shared(b, flavor)
			for _, driver := range []string{"mysql", Name} {
				b.Run("driver="+driver, func(b *testing.B) {
					db := drivers[driver](b, s.DSN(database))
					defer db.Close()
					if driver == "mysql" {
						db.SetMaxOpenConns(8)
					}
					db.SetMaxIdleConns(64)
					if err := db.PingContext(b.Context()); err != nil {
						b.Fatal(err)
					}
					b.ReportAllocs()
					run(b, db)
				})
			}
		})
	}
}

func one(b *testing.B, row *sql.Row) {
	b.Helper()
	var n int
	if err := row.Scan(&n); err != nil {
		b.Error(err)
	}
}

// BenchmarkText is SELECT 1 as text, one after the other.
func BenchmarkText(b *testing.B) {
	compare(b, func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		for b.Loop() {
			one(b, db.QueryRowContext(ctx, "SELECT 1"))
		}
	})
}

// BenchmarkText16 is the same from 16 goroutines on 8 connections.
func BenchmarkText16(b *testing.B) {
	compare(b, func(b *testing.B, db *sql.DB) {
		b.SetParallelism(8) // times 2 processors
		b.RunParallel(func(pb *testing.PB) {
			ctx := context.Background()
			for pb.Next() {
				one(b, db.QueryRowContext(ctx, "SELECT 1"))
			}
		})
	})
}

// BenchmarkPrepared is a statement that was prepared once.
func BenchmarkPrepared(b *testing.B) {
	compare(b, func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		st, err := db.PrepareContext(ctx, "SELECT ?")
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		for b.Loop() {
			one(b, st.QueryRowContext(ctx, 1))
		}
	})
}

// BenchmarkArguments is a query with arguments, for which the raw driver prepares and
// closes a statement each time.
func BenchmarkArguments(b *testing.B) {
	compare(b, func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		for b.Loop() {
			one(b, db.QueryRowContext(ctx, "SELECT ?", 1))
		}
	})
}

// BenchmarkRows reads 1000 rows: nothing may be added to a row.
func BenchmarkRows(b *testing.B) {
	compare(b, func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		query := "SELECT 0"
		for i := 1; i < 1000; i++ {
			query += fmt.Sprintf(" UNION ALL SELECT %d", i)
		}
		for b.Loop() {
			rows, err := db.QueryContext(ctx, query)
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				var n int
				if err := rows.Scan(&n); err != nil {
					b.Fatal(err)
				}
			}
			if err := rows.Err(); err != nil {
				b.Fatal(err)
			}
			rows.Close()
		}
	})
}

// BenchmarkTransaction is BEGIN, one statement, COMMIT.
func BenchmarkTransaction(b *testing.B) {
	compare(b, func(b *testing.B, db *sql.DB) {
		ctx := context.Background()
		for b.Loop() {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				b.Fatal(err)
			}
			one(b, tx.QueryRowContext(ctx, "SELECT 1"))
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
