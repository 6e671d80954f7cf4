package aurorasim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// masterSession is the SESSION_ID of the writer's row.
const masterSession = "MASTER_SESSION_ID"

// The view's name, and its columns as AWS documents them.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Reference.ISTables.html
const (
	viewSchema = "information_schema"
	viewName   = "replica_host_status"
)

var viewColumns = []string{
	"SERVER_ID", "SESSION_ID", "LAST_UPDATE_TIMESTAMP", "REPLICA_LAG_IN_MILLISECONDS", "CPU", "IS_CURRENT",
}

// viewRow is an instance as another one sees it.
type viewRow struct {
	id, session string
	updated     time.Time
	lag         time.Duration
	cpu         float64
}

// values are the row's values in the order of viewColumns.
func (r viewRow) values() []any {
	lag := any(float64(r.lag.Microseconds()) / 1000)
	if r.lag < 0 {
		lag = nil
	}
	return []any{r.id, r.session, r.updated.UTC(), lag, r.cpu, int64(1)}
}

// HoldView lets the instance answer with the topology of this moment, timestamps
// included, until the fault is cleared: a reader whose view is behind.
func (i *Instance) HoldView() *Fault {
	rows := i.view()
	i.update(func() {
		if i.holds++; i.holds == 1 {
			i.held = rows
		}
	})
	return newFault("stale view", i, func() {
		i.update(func() {
			if i.holds--; i.holds == 0 {
				i.held = nil
			}
		})
	})
}

// ForgeRows puts rows of readers with these identifiers into every instance's topology,
// whatever characters they have: only over a literal upstream, as they would be SQL.
func (c *Cluster) ForgeRows(ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.forged = append(c.forged, viewRow{id: id, session: sessionID(), lag: defaultLag})
	}
}

// view is the topology as this instance answers it now.
func (i *Instance) view() []viewRow {
	i.mu.Lock()
	held, believes := i.held, i.believes
	i.mu.Unlock()
	if held != nil {
		return held
	}
	now := time.Now()
	i.cluster.mu.Lock()
	rows := slices.Clone(i.cluster.forged)
	i.cluster.mu.Unlock()
	for n := range rows {
		rows[n].updated = now
	}
	for _, other := range i.cluster.all() {
		row, ok := other.row(now)
		if !ok {
			continue
		}
		if believes { // the others are readers, then
			switch {
			case other == i:
				row.session, row.lag = masterSession, 0
			case row.session == masterSession:
				row.session = sessionID()
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// row is what the instance tells the others, or told them last.
func (i *Instance) row(now time.Time) (viewRow, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := viewRow{id: i.name, session: i.session, updated: now, lag: i.lag, cpu: i.cpu}
	if !i.up || i.frozen > 0 {
		r.updated = i.beat
	}
	r.updated = r.updated.Add(i.skew)
	if r.session == masterSession {
		r.lag = 0
	}
	return r, !i.gone
}

// derivedTable is the view as a table expression for a real server. Timestamps
// are relative to the server's clock, in its global time zone: a DATETIME, so that a
// session's own time zone does not move it.
func derivedTable(rows []viewRow) string {
	now := time.Now()
	var b strings.Builder
	b.WriteString("(")
	for n, r := range rows {
		if n > 0 {
			b.WriteString(" UNION ALL ")
		}
		age := now.Sub(r.updated).Microseconds()
		updated := "CONVERT_TZ(UTC_TIMESTAMP(6),'+00:00',@@global.time_zone) - INTERVAL " +
			strconv.FormatInt(age, 10) + " MICROSECOND"
		lag := decimal(float64(r.lag.Microseconds())/1000) + "e0"
		if r.lag < 0 {
			lag = "NULL"
		}
		fmt.Fprintf(&b, "SELECT '%s' AS %s,'%s' AS %s,%s AS %s,%s AS %s,%se0 AS %s,1 AS %s",
			r.id, viewColumns[0], r.session, viewColumns[1], updated, viewColumns[2],
			lag, viewColumns[3],
			decimal(r.cpu), viewColumns[4], viewColumns[5])
	}
	if len(rows) == 0 {
		b.WriteString("SELECT NULL AS " + strings.Join(viewColumns, ",NULL AS ") + " FROM DUAL WHERE 1=0")
	}
	b.WriteString(")")
	return b.String()
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// variables are the values of the names that an instance answers itself, in lower
// case, as SHOW VARIABLES has them.
type variables struct {
	deployment         Deployment
	serverID, version  string
	hostname, address  string
	number, uuid, port string
	readOnly           bool // has no writable storage
	refuses            bool // takes no writes
}

func (i *Instance) variables() variables {
	i.mu.Lock()
	defer i.mu.Unlock()
	return variables{
		deployment: i.cluster.cfg.Deployment,
		serverID:   i.name,
		version:    i.cluster.cfg.AuroraVersion,
		hostname:   "ip-" + strings.ReplaceAll(i.ip.String(), ".", "-"),
		address:    i.ip.String(),
		number:     strconv.FormatInt(i.number(), 10),
		uuid:       i.uuid(),
		port:       strconv.Itoa(i.cluster.cfg.Port),
		readOnly:   !i.writer && !i.believes,
		refuses:    !i.writer && !i.believes || i.readOnly,
	}
}

// The names, sorted as SHOW VARIABLES sorts.
const (
	auroraServerID = "aurora_server_id"
	auroraVersion  = "aurora_version"
	innodbReadOnly = "innodb_read_only"
)

// value is a variable's value: string or int64.
func (v variables) value(name string) (any, bool) {
	if v.deployment != Aurora {
		for _, row := range v.rds() {
			if row[0] == name && (row[1] == "ON" || row[1] == "OFF") {
				return int64(btoi(row[1] == "ON")), true
			} else if row[0] == name {
				if n, err := strconv.ParseInt(row[1], 10, 64); err == nil {
					return n, true
				}
				return row[1], true
			}
		}
		return nil, false
	}
	switch name {
	case auroraServerID:
		return v.serverID, true
	case auroraVersion:
		return v.version, true
	case "read_only":
		return int64(btoi(v.refuses)), true
	case innodbReadOnly:
		if v.readOnly {
			return int64(1), true
		}
		return int64(0), true
	}
	return nil, false
}

// shown are the rows that SHOW VARIABLES has, sorted.
func (v variables) shown() [][2]string {
	if v.deployment != Aurora {
		return v.rds()
	}
	onOff := "OFF"
	if v.readOnly {
		onOff = "ON"
	}
	return [][2]string{{auroraServerID, v.serverID}, {auroraVersion, v.version}, {innodbReadOnly, onOff}}
}
