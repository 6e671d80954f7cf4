package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/driver"
)

const (
	connections = 3 // that are made to each instance, one after the other but for the first
	roundTrips  = 9
)

// asked are the variables that checks look at.
const asked = "SHOW VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'aurora_version', 'wait_timeout', 'interactive_timeout', " +
	"'read_only', 'super_read_only', 'innodb_read_only', 'skip_name_resolve', 'max_connect_errors', 'session_track_state_change', 'autocommit', " +
	"'init_connect', 'log_bin', 'gtid_mode', 'log_replica_updates', 'log_slave_updates', 'max_connections', 'max_user_connections', " +
	"'group_replication_single_primary_mode', 'wsrep_on', 'datadir')"

// ask learns all of an instance, over connections of its own: those that the driver would make.
func (in *instance) ask(ctx context.Context, cfg *driver.Config) error {
	direct, err := cfg.Direct(in.addr)
	if err != nil {
		return err
	}
	in.observe(direct)
	connector, err := mysql.NewConnector(direct)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxIdleConns(-1) // each connection is a new one
	first, err := in.connect(ctx, db)
	if err != nil {
		return err
	}
	defer first.Close()
	for range roundTrips {
		begun := time.Now()
		if err := first.PingContext(ctx); err != nil {
			return err
		}
		in.pings = append(in.pings, time.Since(begun))
	}
	if err := in.question(ctx, first); err != nil {
		return err
	}
	for range connections - 1 {
		other, err := in.connect(ctx, db)
		if err != nil {
			return err
		}
		if !in.killed {
			in.killed, in.killErr = true, kill(ctx, first, other)
		}
		if err := other.Close(); err != nil {
			return err
		}
	}
	return nil
}

// observe lets TLS be seen.
func (in *instance) observe(direct *mysql.Config) {
	if in.wanted = direct.TLS != nil; !in.wanted {
		return
	}
	verify := direct.TLS.VerifyConnection
	direct.TLS.VerifyConnection = func(s tls.ConnectionState) error {
		in.tls = &s
		if verify == nil {
			return nil
		}
		return verify(s)
	}
}

func (in *instance) connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	begun := time.Now()
	conn, err := db.Conn(ctx)
	in.connects = append(in.connects, time.Since(begun))
	return conn, err
}

// question asks what there is to ask of one connection. What a server does not know, or does not tell
// this user, stays empty.
func (in *instance) question(ctx context.Context, conn *sql.Conn) error {
	rows, err := lines(ctx, conn, asked)
	if err != nil {
		return fmt.Errorf("SHOW VARIABLES: %w", err)
	}
	in.variables = make(map[string]string)
	for _, row := range rows {
		in.variables[row["Variable_name"]] = row["Value"]
	}
	if err := conn.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&in.user); err != nil {
		return fmt.Errorf("SELECT CURRENT_USER(): %w", err)
	}
	in.user = quoted(in.user)
	in.clock = readClock(ctx, conn)
	if rows, err := lines(ctx, conn, "SHOW GRANTS"); err == nil {
		for _, row := range rows {
			for _, grant := range row {
				in.grants = append(in.grants, grant)
			}
		}
	}
	in.replication(ctx, conn)
	return nil
}

// quoted is a user as statements have it.
func quoted(user string) string {
	at := strings.LastIndex(user, "@")
	if at < 0 {
		return "'" + user + "'"
	}
	return "'" + user[:at] + "'@'" + user[at+1:] + "'"
}

// modern gives the columns of SHOW REPLICA STATUS the names that MySQL has now.
var modern = strings.NewReplacer("Master", "Source", "Slave", "Replica")

// replication asks for the instance's sources.
func (in *instance) replication(ctx context.Context, conn *sql.Conn) {
	if in.aurora() {
		return
	}
	rows, err := lines(ctx, conn, "SHOW REPLICA STATUS")
	if in.mariaDB() {
		rows, err = lines(ctx, conn, "SHOW ALL SLAVES STATUS")
	}
	if err != nil {
		return // what may not be asked is a matter of privileges, which the driver has warned of
	}
	for _, row := range rows {
		now := make(map[string]string, len(row))
		for column, value := range row {
			now[modern.Replace(column)] = value
		}
		in.sources = append(in.sources, source{
			from:     now["Source_Host"] + ":" + now["Source_Port"],
			receives: now["Replica_IO_Running"], applies: now["Replica_SQL_Running"],
			last: cmp.Or(now["Last_SQL_Error"], now["Last_IO_Error"]),
		})
	}
}

// readClock compares the server's clock with this machine's.
func readClock(ctx context.Context, conn *sql.Conn) clock {
	var text string
	begun := time.Now()
	if err := conn.QueryRowContext(ctx, "SELECT CONCAT(UTC_TIMESTAMP(6), '')").Scan(&text); err != nil {
		return clock{}
	}
	took := time.Since(begun)
	at, err := time.Parse("2006-01-02 15:04:05.999999", text)
	if err != nil {
		return clock{}
	}
	c := clock{known: true, ahead: at.Sub(begun.Add(took / 2)), doubt: took / 2}
	if at.Nanosecond() == 0 { // in all likelihood it has whole seconds only
		c.ahead, c.doubt = c.ahead+time.Second/2, c.doubt+time.Second/2
	}
	return c
}

// identifying are the variables that tell one server from another.
const identifying = "SHOW VARIABLES WHERE Variable_name IN ('aurora_server_id', 'datadir', 'hostname', 'port', 'server_id', 'server_uuid')"

// errElsewhere is why KILL QUERY was not tried.
var errElsewhere = errors.New("two connections lead to two servers")

// kill stops what an idle connection does, which is nothing, to learn whether the user may. Both must
// lead to one server: a name may stand for several, and there the number is somebody else's connection.
func kill(ctx context.Context, idle, by *sql.Conn) error {
	var servers [2][]map[string]string
	for i, conn := range []*sql.Conn{idle, by} {
		var err error
		if servers[i], err = lines(ctx, conn, identifying); err != nil {
			return err
		}
	}
	if len(servers[0]) == 0 || !slices.EqualFunc(servers[0], servers[1], maps.Equal) {
		return errElsewhere
	}
	var id uint64
	if err := idle.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return err
	}
	_, err := by.ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id))
	return err
}

// lines are all rows of a result, as text by column. NULL is "".
func lines(ctx context.Context, conn *sql.Conn, query string) (all []map[string]string, err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(columns))
		for i, column := range columns {
			row[column] = values[i].String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}
