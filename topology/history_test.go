package topology

import (
	"database/sql/driver"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// history is what a real server says that it has.
func history(t *testing.T, s *mysqld.Server) transactions {
	t.Helper()
	c, err := mysql.MySQLDriver{}.Open(s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := newReplication(Config{Explain: explain}).Probe(t.Context(), c.(interface {
		driver.Conn
		driver.QueryerContext
	}), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return parseTransactions(r.Lineage.History)
}

// TestHistoryMariaDB: unless log_slave_updates is on, which it is not by default, what a
// replica applied is not in its binary log.
func TestHistoryMariaDB(t *testing.T) {
	s := mysqld.MariaDB(t, mysqld.WithBinaryLog())
	if err := s.Exec(t.Context(), "SET GLOBAL gtid_slave_pos='5-7-9'"); err != nil {
		t.Fatal(err)
	}
	if got := history(t, s); !got.covers(parseTransactions("5-7-9")) {
		t.Errorf("has %v, and not what it applied", got)
	}
	if err := s.Exec(t.Context(), "CREATE DATABASE shop"); err != nil {
		t.Fatal(err)
	}
	if got := history(t, s); !got.covers(parseTransactions(fmt.Sprintf("5-7-9,0-%d-1", s.Port))) {
		t.Errorf("has %v, and not both what it applied and what it wrote", got)
	}
}

// TestHistoryMySQL: a server whose transactions have no GTIDs any more has still a set of
// those that had one.
func TestHistoryMySQL(t *testing.T) {
	s := mysqld.MySQL(t, mysqld.WithBinaryLog(), mysqld.WithArgs("--gtid-mode=ON", "--enforce-gtid-consistency=ON"))
	if err := s.Exec(t.Context(), "CREATE DATABASE shop"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		mode  string
		known bool
	}{{"ON", true}, {"ON_PERMISSIVE", true}, {"OFF_PERMISSIVE", false}, {"OFF", false}} {
		if err := s.Exec(t.Context(), "SET GLOBAL gtid_mode="+step.mode); err != nil {
			t.Fatal(err)
		}
		if got := history(t, s); (got != nil) != step.known {
			t.Errorf("gtid_mode %s: has %v", step.mode, got)
		}
	}
}
