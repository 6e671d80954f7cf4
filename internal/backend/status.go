package backend

import (
	"database/sql/driver"
	"fmt"
	"reflect"
)

// Status holds the server's status flags as of the last OK or EOF packet
// (MySQL manual, "SERVER_STATUS_flags_enum").
type Status uint16

// The flags that failoverproxy uses.
const (
	StatusInTransaction      Status = 0x0001
	StatusAutocommit         Status = 0x0002
	StatusMoreResults        Status = 0x0008
	StatusNoBackslashEscapes Status = 0x0200
	StatusInReadOnlyTx       Status = 0x2000
	StatusSessionChanged     Status = 0x4000
)

// statusField finds the wrapped driver's connection's status field. The wrapped
// driver has no accessor for it, and the end of a transaction cannot be known
// without it: so a driver in which it is missing is refused, at the first
// connection, rather than guessed at.
func statusField(conn driver.Conn) (reflect.Value, error) {
	v := reflect.ValueOf(conn)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("failoverproxy: connection of unexpected type %T from the wrapped driver", conn)
	}
	field := v.Elem().FieldByName("status")
	if !field.IsValid() || field.Kind() != reflect.Uint16 {
		return reflect.Value{}, fmt.Errorf("failoverproxy: %T has no status field of 16 bits: this version of go-sql-driver/mysql is not supported", conn)
	}
	return field, nil
}
