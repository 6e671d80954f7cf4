package driver

import (
	"regexp"
	"strings"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
)

// consumed follows a SET TRANSACTION to the transaction that it was meant for: that may be a
// statement of its own. Which one only the server knows: MySQL's SHOW TABLES uses it up and
// MariaDB's does not, nor does a write that fails. So after a statement that may have used it
// up, or not, the session stays with its connection until a transaction has surely ended.
func (c *conn) consumed(x *exchange, err error) {
	s, facts := &c.session, x.facts
	sure := err == nil && !facts.Opaque()
	switch {
	case err == nil && (s.Backend().InTransaction() || facts.Kind == sqlscan.Begin || facts.Kind == sqlscan.Commit || facts.Kind == sqlscan.Rollback):
		s.SetOnce(false)
		c.consume()
	case x.only, failover.Unparsed(err), facts.Kind == sqlscan.Set, facts.Kind == sqlscan.Use, facts.Kind == sqlscan.Savepoint:
	case (facts.Kind == sqlscan.Read || facts.Kind == sqlscan.Write) && !facts.UsesTable() && !facts.Opaque(): // SELECT GET_LOCK('a', 0)
	case sure && (facts.Kind != sqlscan.Read || facts.ReadsTable()) && !noTable.MatchString(x.text):
		// If the tables' engine has no transactions it is still pending: SetOnce keeps it from others.
		c.consume()
	case c.oneShot != "":
		s.Pin(sqlscan.EffectNextTransaction, "", false, c.oneShot[:strings.IndexByte(c.oneShot, 0)])
		c.oneShot = ""
	}
}

// noTable finds what a statement may read from that is no table of a transactional engine.
var noTable = regexp.MustCompile(`(?i)\b(from|join)\s*\(|_schema\b|\bdual\b`)

// consume ends SET TRANSACTIONs: what comes after is not concerned. Who is sure of it says
// SetOnce(false), too.
func (c *conn) consume() {
	c.oneShot = ""
	c.session.Unpin(sqlscan.EffectNextTransaction, "")
}
