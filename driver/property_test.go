package driver

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/internal/testutil/program"
)

// Environment variables that choose what TestPropertySessions runs.
const (
	envPropertySeed       = "FP_PROPERTY_SEED"       // one program, of this seed
	envPropertyStatements = "FP_PROPERTY_STATEMENTS" // steps of each program
)

// answerGone knows the error of an answer that went with its lease.
func answerGone(err error) bool { return errors.Is(err, ErrAnswerGone) }

// TestPropertySessions runs random programs of sessions, once over the wrapped driver
// with a connection for each session, once over ours with three for all: nobody may see
// a difference. A failure prints the seed and the smallest program that was found.
//
//	FP_PROPERTY_SEED=7 FP_PROPERTY_STATEMENTS=100000 go test ./driver -run TestPropertySessions -v
//	CI=true make property
func TestPropertySessions(t *testing.T) {
	seeds, statements := propertyPlan(t)
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		t.Parallel() // they wait for cancels for most of the time
		rig := propertyRig(t, s, 3)
		ctx := t.Context()
		next := make(chan uint64)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(next)
		for range 2 { // what a program does depends on nothing outside of its databases
			wg.Go(func() {
				for seed := range next {
					equal(ctx, t, rig, program.Options{}.Generate(seed, statements, s.Flavor))
				}
			})
		}
		for _, seed := range seeds {
			if len(seeds) <= 2 || seed%2 == uint64(s.Flavor)%2 { // many are shared out among the servers
				next <- seed
			}
		}
	})
}

// propertyPlan is two short programs for each server, or ten in CI, five for each.
func propertyPlan(t *testing.T) (seeds []uint64, statements int) {
	t.Helper()
	count, statements := 2, 2000
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		// Half a minute on two processors, a minute with -race.
		count, statements = 10, 3000
	}
	if text := os.Getenv(envPropertyStatements); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", envPropertyStatements, err)
		}
		statements = n
	}
	if text := os.Getenv(envPropertySeed); text != "" {
		seed, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			t.Fatalf("%s: %v", envPropertySeed, err)
		}
		return []uint64{seed}, statements
	}
	for seed := range uint64(count) {
		seeds = append(seeds, seed+1)
	}
	return seeds, statements
}

// equal fails the test if a program is answered differently.
func equal(ctx context.Context, t *testing.T, rig program.Rig, p program.Program) {
	start := time.Now()
	d, err := rig.Compare(ctx, p)
	switch {
	case err != nil:
		t.Errorf("seed %d: %v", p.Seed, err)
	case d != nil:
		small, last := rig.Shrink(ctx, p, d, time.Minute)
		t.Errorf("seed %d (%s=%d %s=%d): %s\nmade smaller: %s\n%s", p.Seed, envPropertySeed, p.Seed, envPropertyStatements, len(p.Steps), d, last, small)
	default:
		t.Logf("seed %d: %d steps, %.0f a second over both drivers", p.Seed, len(p.Steps), float64(len(p.Steps))/time.Since(start).Seconds())
	}
}

// TestPropertyFindsASeededBug: the property is worth something only if it notices that
// a variable is not tracked, and says so with a program that a person can read.
func TestPropertyFindsASeededBug(t *testing.T) {
	for _, variable := range []string{"sql_mode", "time_zone", "lc_time_names"} {
		t.Run(variable, func(t *testing.T) {
			forgotten = variable
			t.Cleanup(func() { forgotten = "" })
			mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
				t.Parallel() // as above
				rig := propertyRig(t, s, 3)
				for seed := range uint64(5) {
					p := program.Options{}.Generate(100+seed, 4000, s.Flavor)
					d, err := rig.Compare(t.Context(), p)
					if err != nil {
						t.Fatal(err)
					}
					if d == nil {
						continue
					}
					small, last := rig.Shrink(t.Context(), p, d, 2*time.Minute)
					t.Logf("%s\n%s", last, small)
					if len(small.Steps) > 15 {
						t.Errorf("the program has %d steps", len(small.Steps))
					}
					return
				}
				t.Error("nobody noticed")
			})
		})
	}
}

// propertyRig compares the wrapped driver with ours, which has so many backends.
func propertyRig(t *testing.T, s *mysqld.Server, backends int) program.Rig {
	t.Helper()
	admin, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	return program.Rig{
		Admin: admin,
		Want: program.Target{Open: func(p program.Program) (*sql.DB, error) {
			cfg, err := mysql.ParseDSN(s.DSN(p.Database()) + "?multiStatements=true")
			if err != nil {
				return nil, err
			}
			cfg.Logger = &mysql.NopLogger{} // connections are lost on purpose
			c, err := mysql.NewConnector(cfg)
			if err != nil {
				return nil, err
			}
			return sql.OpenDB(c), nil
		}},
		Got: program.Target{
			// No program needs more backends than there are, so a wait is a bug, but for one for
			// MariaDB's KILL, which takes 2 s now and then.
			Open: func(p program.Program) (*sql.DB, error) {
				cfg, err := ParseDSN(s.DSN(p.Database()) + fmt.Sprintf("?multiStatements=true&fpTopology=static&fpPoolSize=%d&fpBorrowTimeout=6s", backends))
				if err != nil {
					return nil, err
				}
				return OpenDB(cfg, WithLogger(slog.New(slog.DiscardHandler)))
			},
			Gone: answerGone,
		},
	}
}

// TestPropertyOfOneBackendPerSession runs the programs with a backend for every session:
// what differs here has nothing to do with sharing.
func TestPropertyOfOneBackendPerSession(t *testing.T) {
	_, statements := propertyPlan(t)
	mysqld.EachShared(t, func(t *testing.T, s *mysqld.Server, _ string) {
		equal(t.Context(), t, propertyRig(t, s, 100), program.Options{}.Generate(cmp.Or(propertySeed(), 50), min(statements, 5000), s.Flavor))
	})
}

func propertySeed() uint64 {
	seed, _ := strconv.ParseUint(os.Getenv(envPropertySeed), 0, 64)
	return seed
}
