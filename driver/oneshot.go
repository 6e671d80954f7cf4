package driver

import (
	"regexp"
	"strings"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// consumed follows a SET TRANSACTION to the transaction that it was meant for: that may be a
// statement of its own. One that failed, or reads what may be no table, leaves the answer to
// the connection: the session stays with it until a transaction has ended, or until it
// comes to rest after such a statement that succeeded.
func (c *conn) consumed(x *exchange, err error) {
	s := &c.session
	kind := x.facts.Kind
	switch {
	case err == nil && (s.Backend().InTransaction() || kind == sqlscan.Begin || kind == sqlscan.Commit || kind == sqlscan.Rollback):
		s.SetOnce(false)
		c.consume()
	case x.only, failover.Unparsed(err), kind == sqlscan.Set, kind == sqlscan.Use, kind == sqlscan.Savepoint,
		kind == sqlscan.Read && !x.facts.ReadsTable() && !x.facts.Opaque():
	case err == nil && !x.facts.Opaque() && !noTable.MatchString(x.text):
		// If the tables' engine has no transactions it is still pending: SetOnce keeps it from others.
		c.consume()
	default:
		c.unsure = err == nil && !x.facts.Opaque()
		if c.oneShot != "" {
			s.Pin(sqlscan.EffectNextTransaction, "", false, c.oneShot[:strings.IndexByte(c.oneShot, 0)])
			c.oneShot = ""
		}
	}
}

// noTable finds what a statement may read from that is no table of a transactional engine.
var noTable = regexp.MustCompile(`(?i)\b(from|join)\s*\(|_schema\b|\bdual\b`)

// consume ends SET TRANSACTIONs: what comes after is not concerned. Who is sure of it says
// SetOnce(false), too.
func (c *conn) consume() {
	c.oneShot, c.unsure = "", false
	c.session.Unpin(sqlscan.EffectNextTransaction, "")
}
