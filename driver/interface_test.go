package driver

import (
	"context"
	"database/sql/driver"
	"reflect"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// The interfaces that database/sql/driver has deprecated, and the wrapped driver has.
type (
	execer interface {
		Exec(query string, args []driver.Value) (driver.Result, error)
	}
	queryerWithoutContext interface {
		Query(query string, args []driver.Value) (driver.Rows, error)
	}
	columnConverter interface {
		ColumnConverter(idx int) driver.ValueConverter
	}
)

// optional are the interfaces of database/sql/driver that a driver may implement.
var optional = map[string]reflect.Type{
	"Conn": reflect.TypeFor[driver.Conn](), "ConnBeginTx": reflect.TypeFor[driver.ConnBeginTx](),
	"ConnPrepareContext": reflect.TypeFor[driver.ConnPrepareContext](), "Execer": reflect.TypeFor[execer](),
	"ExecerContext": reflect.TypeFor[driver.ExecerContext](), "NamedValueChecker": reflect.TypeFor[driver.NamedValueChecker](),
	"Pinger": reflect.TypeFor[driver.Pinger](), "Queryer": reflect.TypeFor[queryerWithoutContext](),
	"QueryerContext": reflect.TypeFor[driver.QueryerContext](), "SessionResetter": reflect.TypeFor[driver.SessionResetter](),
	"Validator": reflect.TypeFor[driver.Validator](), "Stmt": reflect.TypeFor[driver.Stmt](),
	"StmtExecContext": reflect.TypeFor[driver.StmtExecContext](), "StmtQueryContext": reflect.TypeFor[driver.StmtQueryContext](),
	"ColumnConverter": reflect.TypeFor[columnConverter](), "Rows": reflect.TypeFor[driver.Rows](),
	"RowsColumnTypeDatabaseTypeName": reflect.TypeFor[driver.RowsColumnTypeDatabaseTypeName](),
	"RowsColumnTypeLength":           reflect.TypeFor[driver.RowsColumnTypeLength](),
	"RowsColumnTypeNullable":         reflect.TypeFor[driver.RowsColumnTypeNullable](),
	"RowsColumnTypePrecisionScale":   reflect.TypeFor[driver.RowsColumnTypePrecisionScale](),
	"RowsColumnTypeScanType":         reflect.TypeFor[driver.RowsColumnTypeScanType](),
	"RowsNextResultSet":              reflect.TypeFor[driver.RowsNextResultSet](),
	"Tx":                             reflect.TypeFor[driver.Tx](), "Driver": reflect.TypeFor[driver.Driver](),
	"DriverContext": reflect.TypeFor[driver.DriverContext](), "Result": reflect.TypeFor[driver.Result](),
	"mysql.Result": reflect.TypeFor[mysql.Result](),
}

// TestSameInterfaces compares what we offer to what the wrapped driver's own types do,
// so that database/sql treats a program no differently.
func TestSameInterfaces(t *testing.T) {
	script := fakemysql.NewScript().On("INSERT")
	server := fakemysql.New(fakemysql.Config{Users: map[string]string{"u": "p"}, Handler: script})
	defer server.Close()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.DialFunc = "u", "p", server.Dial
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c, err := connector.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, err := c.(driver.QueryerContext).QueryContext(ctx, "SELECT 1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := text.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := st.(driver.StmtQueryContext).QueryContext(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := binary.Close(); err != nil {
		t.Fatal(err)
	}
	result, err := c.(driver.ExecerContext).ExecContext(ctx, "INSERT", nil)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := c.(driver.ConnBeginTx).BeginTx(context.Background(), driver.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range []struct{ theirs, ours any }{
		{c, &conn{}},
		{st, &stmt{}},
		{text, &rows{}},
		{binary, &rows{}},
		{begun, &tx{}},
		{result, noResult{}},
		{&mysql.MySQLDriver{}, Driver{}},
	} {
		for name, is := range optional {
			theirs, ours := reflect.TypeOf(pair.theirs).Implements(is), reflect.TypeOf(pair.ours).Implements(is)
			if theirs != ours {
				t.Errorf("%s: %T %v, %T %v", name, pair.theirs, theirs, pair.ours, ours)
			}
		}
	}
}
