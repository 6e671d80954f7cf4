package driver

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

const (
	manySessions = 5000 // in use at the same time
	fewBackends  = 20
)

// BenchmarkSessions is 5,000 sessions, each with statements of its own: of the raw driver
// that is 5,000 connections, of ours 20. An operation is ten reads by primary key of each
// session, or one update of one of a few counters, for which the server's threads stand in
// line.
func BenchmarkSessions(b *testing.B) {
	for _, flavor := range []mysqld.Flavor{mysqld.FlavorMariaDB, mysqld.FlavorMySQL} {
		b.Run(fmt.Sprintf("server=%s", flavor), func(b *testing.B) {
			for name, does := range map[string]struct {
				statements int
				run        func(ctx context.Context, conn *sql.Conn, i int) error
			}{
				"read": {10, func(ctx context.Context, conn *sql.Conn, _ int) error {
					var v int
					return conn.QueryRowContext(ctx, "SELECT v FROM t WHERE id = 2").Scan(&v)
				}},
				"update": {1, func(ctx context.Context, conn *sql.Conn, i int) error {
					_, err := conn.ExecContext(ctx, updates[i%len(updates)])
					return err
				}},
			} {
				b.Run("statement="+name, func(b *testing.B) {
					for _, driver := range []string{"mysql", Name} {
						b.Run("driver="+driver, func(b *testing.B) { sessionsOf(b, flavor, driver, does.statements, does.run) })
					}
				})
			}
		})
	}
}

var updates = []string{"UPDATE t SET v = v + 1 WHERE id = 1", "UPDATE t SET v = v + 1 WHERE id = 2", "UPDATE t SET v = v + 1 WHERE id = 3", "UPDATE t SET v = v + 1 WHERE id = 4"}

func sessionsOf(b *testing.B, flavor mysqld.Flavor, driver string, statements int, run func(ctx context.Context, conn *sql.Conn, i int) error) {
	s := mysqld.MariaDB
	if flavor == mysqld.FlavorMySQL {
		s = mysqld.MySQL
	}
	server := s(b, mysqld.WithMaxConnections(manySessions+100), mysqld.WithArgs("--thread-stack=262144", "--open-files-limit=20000", "--back-log=5000"))
	if err := server.Exec(b.Context(), "CREATE DATABASE many", "CREATE TABLE many.t (id INT PRIMARY KEY, v INT)", "INSERT INTO many.t VALUES (1, 1), (2, 2), (3, 3), (4, 4)"); err != nil {
		b.Fatal(err)
	}
	dsn := server.DSN("many")
	if driver == Name {
		dsn += fmt.Sprintf("?fpTopology=static&fpPoolSize=%d&fpBorrowTimeout=0", fewBackends)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if err := db.PingContext(ctx); err != nil {
		b.Fatal(err)
	}
	idle, resident := heap(), residentOf(server.Port)
	start := time.Now()
	conns := make([]*sql.Conn, manySessions)
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := w; i < manySessions; i += 50 {
				if conns[i], err = db.Conn(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	opened := time.Since(start)
	if b.Failed() {
		return
	}
	each := func() {
		for i, conn := range conns {
			wg.Go(func() {
				for range statements {
					if err := run(ctx, conn, i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	each()
	for b.Loop() {
		each()
	}
	perSession := float64(heap()-idle) / manySessions
	b.ReportMetric(float64(b.N*manySessions*statements)/b.Elapsed().Seconds(), "statements/s")
	b.ReportMetric(float64(opened.Microseconds())/1000, "open-ms")
	b.ReportMetric(perSession, "client-B/session")
	b.ReportMetric(float64(residentOf(server.Port)-resident)/(1<<20), "server-MiB")
	b.ReportMetric(0, "ns/op")
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// residentOf is the resident memory of the server on that port, 0 where there is no /proc.
func residentOf(port int) int64 {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		command, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(command), "port="+strconv.Itoa(port)) || !strings.Contains(string(command), "d\x00") {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "statm"))
		if err != nil {
			continue
		}
		pages, _ := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}
