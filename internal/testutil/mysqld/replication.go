package mysqld

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Replication is a source and its replicas, real servers with GTIDs. Replication is
// semi-synchronous until the first promotion: what the first source acknowledged, at least
// one replica has. It is not afterwards.
//
// It does what an operator or a tool does in a failover, and nothing by itself. Servers
// start with read_only off, as those do whose configuration does not say otherwise: so
// [Server.Restart] brings an old source back without demoting it. Its methods are not safe for
// concurrent use.
type Replication struct {
	Servers []*Server // the first one begins as the source
	Source  *Server   // the one that takes writes

	// Promoted is the time just before the source began to take writes; zero before the
	// first promotion.
	Promoted time.Time

	start string // MariaDB: the position at which the present source was promoted
}

const queryLogName = "query.log"

// Replicate starts a source and its replicas for the test, which end with it. Without
// the server on the machine the test is skipped; with CI=true it fails.
func Replicate(tb testing.TB, f Flavor, servers int) *Replication {
	tb.Helper()
	r := &Replication{Servers: make([]*Server, servers)}
	_, err := locate(f)
	require(tb, err)
	errs := make([]error, servers)
	var starting sync.WaitGroup
	for i := range r.Servers {
		starting.Go(func() { r.Servers[i], errs[i] = Start(tb.Context(), f, f.replicating()) })
	}
	starting.Wait()
	tb.Cleanup(func() {
		for _, s := range r.Servers {
			if s == nil {
				continue
			}
			if tb.Failed() {
				tb.Logf("the log of %s on port %d ends with\n%s", s.Flavor, s.Port, s.Log())
			}
			if err := s.Close(); err != nil {
				tb.Errorf("%v", err)
			}
		}
	})
	require(tb, errors.Join(errs...))
	r.Source = r.Servers[0]
	for _, s := range r.Servers[1:] {
		errs = append(errs, s.follow(tb.Context(), r.Source, ""))
	}
	errs = append(errs, r.Source.Exec(tb.Context(), f.dialect().semiSync...))
	require(tb, errors.Join(errs...))
	return r
}

// replicating are the options of a server that replicates.
func (f Flavor) replicating() Options {
	o := Options{BinaryLog: true, BufferPoolMiB: 16, Args: []string{
		"--binlog-format=ROW", "--relay-log=relay", "--relay-log-recovery=ON", "--sync-binlog=0",
		"--general-log=ON", "--general-log-file=" + queryLogName, "--log-output=FILE",
	}}
	if f == FlavorMariaDB {
		o.Args = append(o.Args, "--log-slave-updates=ON", "--skip-slave-start")
	} else {
		o.Args = append(o.Args, "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-replica-updates=ON", "--skip-replica-start",
			"--plugin-load-add=semisync_source.so", "--plugin-load-add=semisync_replica.so")
	}
	return o
}

// dialect is what the flavors say differently.
type dialect struct {
	stop, start, forget, status string
	change                      string // format for the source's port
	semiSync                    []string
	replica                     []string // to be set before it follows
	writable                    []string
	received, ioRunning, sqlErr string // columns of the status
	wait                        string // format for what was received; answers that it was applied
}

func (f Flavor) dialect() dialect {
	if f == FlavorMariaDB {
		return dialect{
			stop: "STOP SLAVE", start: "START SLAVE", forget: "RESET SLAVE ALL", status: "SHOW SLAVE STATUS",
			change: "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='root', MASTER_PASSWORD='" + Password + "', " +
				"MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
			semiSync: []string{"SET GLOBAL rpl_semi_sync_master_wait_point=AFTER_SYNC", "SET GLOBAL rpl_semi_sync_master_timeout=10000", "SET GLOBAL rpl_semi_sync_master_enabled=ON"},
			replica:  []string{"SET GLOBAL read_only=ON", "SET GLOBAL slave_exec_mode=IDEMPOTENT", "SET GLOBAL rpl_semi_sync_slave_enabled=ON"},
			writable: []string{"SET GLOBAL read_only=OFF"},
			received: "Gtid_IO_Pos", ioRunning: "Slave_IO_Running", sqlErr: "Last_SQL_Error",
			wait: "SELECT MASTER_GTID_WAIT('%s', 10) = 0",
		}
	}
	return dialect{
		stop: "STOP REPLICA", start: "START REPLICA", forget: "RESET REPLICA ALL", status: "SHOW REPLICA STATUS",
		change: "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=%d, SOURCE_USER='root', SOURCE_PASSWORD='" + Password + "', " +
			"SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=100000",
		semiSync: []string{"SET GLOBAL rpl_semi_sync_source_timeout=10000", "SET GLOBAL rpl_semi_sync_source_enabled=ON"},
		replica:  []string{"SET GLOBAL super_read_only=ON", "SET GLOBAL replica_exec_mode=IDEMPOTENT", "SET GLOBAL rpl_semi_sync_replica_enabled=ON"},
		writable: []string{"SET GLOBAL super_read_only=OFF", "SET GLOBAL read_only=OFF"},
		received: "Retrieved_Gtid_Set", ioRunning: "Replica_IO_Running", sqlErr: "Last_SQL_Error",
		wait: "SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 10) = 0",
	}
}

// follow makes s a replica of the source, from the position on if one is given. An old
// source may have transactions that nobody else ever got: rows that are there already
// are no error.
func (s *Server) follow(ctx context.Context, source *Server, position string) error {
	d := s.Flavor.dialect()
	statements := append([]string{d.stop}, d.replica...)
	if position != "" {
		statements = append(statements, fmt.Sprintf("SET GLOBAL gtid_slave_pos='%s'", position))
	}
	return s.Exec(ctx, append(statements, fmt.Sprintf(d.change, source.Port), d.start)...)
}

// Promote waits until the replicas have noticed that the source is dead, takes the one
// that has received most of it, waits until that has applied it all, and makes it the
// source. Only [Replication.Repoint] makes the others follow it.
func (r *Replication) Promote(ctx context.Context) error {
	d := r.Source.Flavor.dialect()
	var heir *Server
	var most int64
	var received string
	for _, s := range r.Servers {
		if s == r.Source || !s.Running() {
			continue
		}
		status, err := s.lost(ctx)
		if err != nil {
			return err
		}
		position, err := logPosition(status)
		if err != nil {
			return err
		}
		if heir == nil || position > most {
			heir, most, received = s, position, status[d.received]
		}
	}
	if heir == nil {
		return errors.New("mysqld: there is no replica to promote")
	}
	applied, err := heir.one(ctx, fmt.Sprintf(d.wait, received))
	if err != nil || applied != "1" {
		return fmt.Errorf("mysqld: port %d has not applied %s: %s, %w", heir.Port, received, applied, err)
	}
	return r.enthrone(ctx, heir)
}

// SwitchOver makes another server the source, as planned: the present one becomes read-only,
// the other one gets all that it has, and takes over. Only [Replication.Repoint] makes
// the others follow it.
func (r *Replication) SwitchOver(ctx context.Context, heir *Server) error {
	// A transaction that waits for the server to take writes again may hold a row that a
	// statement waits for, and that one is waited for here. Nobody notices; so give
	// way for a moment, and again.
	var err error
	for range 10 {
		if err = r.Source.Exec(ctx, "SET lock_wait_timeout=1", r.Source.Flavor.dialect().replica[0]); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if err := r.Caught(ctx, heir); err != nil {
		return err
	}
	return r.enthrone(ctx, heir)
}

// enthrone makes a replica, which has all that it is to have, the source.
func (r *Replication) enthrone(ctx context.Context, heir *Server) (err error) {
	d := heir.Flavor.dialect()
	if err := heir.Exec(ctx, d.stop, d.forget); err != nil {
		return err
	}
	if heir.Flavor == FlavorMariaDB {
		if r.start, err = heir.one(ctx, "SELECT @@GLOBAL.gtid_slave_pos"); err != nil {
			return err
		}
	}
	r.Source, r.Promoted = heir, time.Now()
	return heir.Exec(ctx, d.writable...)
}

// Repoint makes the servers follow the source.
func (r *Replication) Repoint(ctx context.Context, servers ...*Server) error {
	for _, s := range servers {
		if err := s.follow(ctx, r.Source, r.start); err != nil {
			return err
		}
	}
	return nil
}

// Rejoin starts an old source as a replica of the new one. It is read-only from its
// start on.
func (r *Replication) Rejoin(ctx context.Context, s *Server) error {
	s.options.Args = append(s.options.Args, "--read-only=ON")
	if err := s.Restart(); err != nil {
		return err
	}
	return s.follow(ctx, r.Source, r.start)
}

// Caught waits until a replica has all that the source has by now.
func (r *Replication) Caught(ctx context.Context, s *Server) error {
	question := "SELECT @@GLOBAL.gtid_executed"
	if s.Flavor == FlavorMariaDB {
		question = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	position, err := r.Source.one(ctx, question)
	if err != nil {
		return err
	}
	applied, err := s.one(ctx, fmt.Sprintf(s.Flavor.dialect().wait, position))
	if err != nil || applied != "1" {
		status, _ := s.replica(ctx)
		return fmt.Errorf("mysqld: port %d has not applied %s: %w; %s", s.Port, position, err, status[s.Flavor.dialect().sqlErr])
	}
	return nil
}

// QueryLog returns what clients have sent to a server of a [Replication] so far: the
// general query log. What it applies as a replica is not in it.
func (s *Server) QueryLog() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, dataName, queryLogName))
	return string(text), err
}

// lost waits until a replica has noticed that its source is gone.
func (s *Server) lost(ctx context.Context) (map[string]string, error) {
	for {
		status, err := s.replica(ctx)
		if err != nil || status[s.Flavor.dialect().ioRunning] != "Yes" {
			return status, err
		}
		if late := rest(ctx); late != nil {
			return nil, late
		}
	}
}

// logPosition is how much of the source's log was read, as one number.
func logPosition(status map[string]string) (int64, error) {
	for _, name := range []string{"Source", "Master"} {
		file, ok := status[name+"_Log_File"]
		if !ok {
			continue
		}
		number, err1 := strconv.ParseInt(filepath.Ext(file)[1:], 10, 64)
		offset, err2 := strconv.ParseInt(status["Read_"+name+"_Log_Pos"], 10, 64)
		return number<<40 + offset, errors.Join(err1, err2)
	}
	return 0, errors.New("mysqld: not a replica")
}

// replica is a replica's own view, by column; empty for a server that is none.
func (s *Server) replica(ctx context.Context) (map[string]string, error) {
	status := make(map[string]string)
	err := s.query(ctx, s.Flavor.dialect().status, func(column, value string) { status[column] = value })
	return status, err
}

// one is the answer to a question that has one.
func (s *Server) one(ctx context.Context, question string) (answer string, err error) {
	err = s.query(ctx, question, func(_, value string) { answer = value })
	return answer, err
}

// query calls f with each value of the answer to a question.
func (s *Server) query(ctx context.Context, question string, f func(column, value string)) error {
	db, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, question)
	if err != nil {
		return fmt.Errorf("mysqld: %s: %w", question, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, column := range columns {
			f(column, values[i].String)
		}
	}
	return rows.Err()
}
