package backend

import (
	"errors"

	"github.com/go-sql-driver/mysql"
)

// Unasked reports whether err is no answer to the statement that was sent last, but what the
// server had said before it read it: so it surely did not execute it.
//
// A client numbers a statement's packets from 0 and the server goes on with the next number:
// the first packet of an answer never has 0. An error with 0, out of turn, was written by a
// thread that had read nothing of a statement yet, and servers do that only when they end the
// connection: they read nothing after it. MySQL does it when wait_timeout is over (4031). The
// wrapped driver takes error packets with a wrong number, and closes the connection.
//
// Where that cannot be seen (a compressed connection, a network of mysql.RegisterDialContext,
// another version of the wrapped driver) it reports false.
func (b *Backend) Unasked(err error) bool {
	if b.wire == nil || !b.reader.sequence.IsValid() || b.IsValid() {
		return false // with 0 in its turn, after 255 packets, it leaves the connection open
	}
	_, packet := errors.AsType[*mysql.MySQLError](err)
	return packet && b.reader.sequence.Uint() == 1 // the number that would come next
}
