package fakemysql

import (
	"context"
	"errors"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// What ends the context of a statement, as context.Cause gives it.
var (
	ErrKilledQuery      = errors.New("fakemysql: KILL QUERY")
	ErrKilledConnection = errors.New("fakemysql: KILL")
	ErrClientGone       = errors.New("fakemysql: the client hung up")
	ErrServerClosed     = errors.New("fakemysql: server closed")
)

// Handler is what stands behind a Server: its SQL. It must be safe for
// concurrent use; each of its sessions is used by one connection.
type Handler interface {
	// Open begins the session of a client that has authenticated. nil ends the
	// connection with an error.
	Open(c ConnInfo) Session
}

// ConnInfo describes a connection to a Handler.
type ConnInfo struct {
	ID             uint32 // the connection id, CONNECTION_ID() in SQL
	User, Database string // Database as given at connect; later changes come as USE statements
	Attributes     map[string]string
	TLS            bool
	Remote         string          // the client's address
	Capabilities   wire.Capability // what both sides agreed on
	Version        string          // of the server, as configured
	MaxPacket      int             // max_allowed_packet, as configured

	// Kill is KILL [QUERY] id; false if there is no such connection.
	Kill func(id uint32, queryOnly bool) bool
}

// Session is one connection's SQL session. Its methods are called one after the
// other, never at the same time.
type Session interface {
	// Execute runs one COM_QUERY or COM_STMT_EXECUTE. args is nil for the text
	// protocol and never nil for a prepared statement; values are those of
	// wire.ParseBinaryRow. A COM_INIT_DB comes as "USE `name`".
	//
	// ctx ends when the client hangs up or is killed, and context.Cause says
	// which. What to do then is the session's decision: a real server finishes
	// the statement of a client that is gone.
	Execute(ctx context.Context, sql string, args []any) Reply

	// Describe answers a COM_STMT_PREPARE: the number of parameters and the
	// columns of the result, if it has one and they are known.
	Describe(sql string) (params int, columns []Column, err *Error)

	// InTransaction decides about the IN_TRANS flag after each statement.
	InTransaction() bool

	// Close ends the session, rolling back. It is called once, after the last
	// Execute has returned; also for COM_RESET_CONNECTION, which then opens
	// another session.
	Close()
}

// StatusSession is a Session that decides about its other status flags, too
// (AUTOCOMMIT, NO_BACKSLASH_ESCAPES). Without it they are wire.StatusAutocommit.
type StatusSession interface {
	Session
	Status() uint16
}

// The protocol's own types serve as they are.
type (
	// Column is a column of a result. Name and Type are enough.
	Column = wire.Column
	// Error is an ERR packet. State may be empty (HY000).
	Error = wire.Error
	// Track is one session change, sent to clients with CLIENT_SESSION_TRACK.
	Track = wire.Track
)

// Reply is the answer to one statement. Several results are sent as
// multi-results; none is an OK that affected nothing. An Err ends the reply.
type Reply struct{ Results []Result }

// Result is one result: a result set if it has columns, else an OK or an ERR.
type Result struct {
	Columns  []Column
	Rows     [][]any // values as in package wire
	Affected uint64
	InsertID uint64
	Warnings uint16
	// Status is the flags as sent. 0 = those of the session (see
	// StatusSession). IN_TRANS is added by Session.InTransaction,
	// MORE_RESULTS for all but the last result.
	Status uint16
	Info   string
	Track  []Track
	// Err ends the result: in place of everything, or after the rows if there
	// are columns, as when a query is killed half-way.
	Err *Error
}

// OK is a reply that affected so many rows.
func OK(affected, insertID uint64) Reply {
	return Reply{Results: []Result{{Affected: affected, InsertID: insertID}}}
}

// Rows is a reply of one result set.
func Rows(columns []Column, rows ...[]any) Reply {
	return Reply{Results: []Result{{Columns: columns, Rows: rows}}}
}

// Fail is a reply that is an error. An empty state is HY000.
func Fail(number uint16, state, message string) Reply {
	return Reply{Results: []Result{{Err: &Error{Number: number, State: state, Message: message}}}}
}

// Multi is the results of all replies in one.
func Multi(replies ...Reply) Reply {
	var all Reply
	for _, r := range replies {
		all.Results = append(all.Results, r.Results...)
	}
	return all
}

// Text is a column of characters.
func Text(name string) Column {
	return Column{Name: name, Type: wire.TypeVarString, Length: 1024}
}

// Int is a column of 64-bit integers.
func Int(name string) Column {
	return Column{Name: name, Type: wire.TypeLongLong, Flags: wire.FlagBinary, Length: 20}
}

// Interrupted is what a server says of a statement that was killed.
func Interrupted() *Error {
	return &Error{Number: 1317, State: "70100", Message: "Query execution was interrupted"}
}
