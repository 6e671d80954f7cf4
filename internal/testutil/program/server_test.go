package program

import (
	"database/sql"
	"flag"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

var (
	seeds      = flag.Int("seeds", 2, "programs in TestPlainAgainstPlain")
	firstSeed  = flag.Uint64("seed", 1, "of the first program")
	statements = flag.Int("statements", 2000, "steps of each program")
)

// plain is the wrapped driver.
func plain(s *mysqld.Server) Target {
	return Target{Open: func(p Program) (*sql.DB, error) {
		cfg, err := mysql.ParseDSN(s.DSN(p.Database()) + "?multiStatements=true")
		if err != nil {
			return nil, err
		}
		cfg.Logger = &mysql.NopLogger{} // connections are lost on purpose
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		return sql.OpenDB(connector), nil
	}}
}

func admin(t *testing.T, s *mysqld.Server) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// The same driver answers the same twice: a program's results depend on nothing else, not
// even on another program that runs at the same time.
//
//	go test ./internal/testutil/program -run PlainAgainstPlain -v -seeds 5 -statements 100000
func TestPlainAgainstPlain(t *testing.T) {
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		r := Rig{Admin: admin(t, s), Want: plain(s), Got: plain(s)}
		next := make(chan uint64)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(next)
		for range 2 {
			wg.Go(func() {
				for seed := range next {
					p := Generate(seed, *statements, s.Flavor)
					start := time.Now()
					d, err := r.Compare(t.Context(), p)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
					if d != nil {
						t.Errorf("seed %d: %s", seed, d)
					}
					t.Logf("seed %d: %.0f statements a second", seed, 2*float64(len(p.Steps))/time.Since(start).Seconds())
				}
			})
		}
		for seed := range uint64(*seeds) {
			next <- *firstSeed + seed
		}
	})
}
