package conformance

import "time"

const (
	importOurs = "import _ \"" + libraryPath + "\"\n"
	// importAsMySQL is for suites with [Suite.AsMySQL].
	importAsMySQL = "import _ \"" + asMySQLPath + "\"\n"

	// added is the name of a file of ours in a suite. It comes before the suites' own, so
	// that its init functions do.
	added = "failoverproxy_test.go"
)

// suites are all that ships tests for MySQL in its module and can run them here. What
// else was looked at, and why it is not here, is in README.md.
var suites = []Suite{goSQLDriver, sqlx, gorp, dbr, goqu, xorm, datatypes, dbresolver, pop}

// goSQLDriver is the wrapped driver's own suite. Its tests are in its package, which
// ours imports: only a test package of its own beside it may import ours, and go test
// then builds ours against the package with the tests.
var goSQLDriver = Suite{
	Name:      "go-sql-driver",
	Module:    "github.com/go-sql-driver/mysql",
	Databases: []string{"gotest"},
	Env: []string{
		"MYSQL_TEST_USER={user}", "MYSQL_TEST_PASS={password}", "MYSQL_TEST_ADDR={addr}",
		"MYSQL_TEST_DBNAME={database}",
	},
	Swap: []Patch{
		{File: "driver_test.go", Old: "driverNameTest = driverName\n", New: "driverNameTest = \"failoverproxy\"\n"},
		{File: "driver_test.go", Old: `sql.Open("mysql", `, New: "sql.Open(driverNameTest, ", Count: 3},
		// What looks into a *mysqlConn gets it as our documentation says.
		{File: "driver_test.go", Old: "conn.Raw(func", New: "innerRaw(conn, func", Count: 3},
	},
	Added: map[string]string{
		added: "package mysql_test\n\n" + importOurs,
		"failoverproxy_raw_test.go": `package mysql

import "database/sql"

func innerRaw(conn *sql.Conn, f func(any) error) error {
	return conn.Raw(func(dc any) error {
		return dc.(interface{ Raw(func(any) error) error }).Raw(f)
	})
}
`,
	},
	Skip: map[string]string{
		"^TestConnectorReturnsTimeout$":            "dials an address of the Internet",
		"^TestDial(NonRetryable|Temporary)NetErr$": "want the dialer's error at once; ours waits, as in the middle of a failover, for half a minute",
		"^TestUnixSocketAuthFail$":                 "dials a socket that is not there, the one of a server in a chroot: as above, three times",
		// It waits for a lock of the transaction that it does not expect to have begun.
		"^TestContextCancelBegin$": "wants a transaction's cancel to cost the connection; ours lives on, and begins another",
	},
	Least:   390,
	Timeout: 3 * time.Minute,
}

// sqlx binds arguments by the driver's name, which a program tells it by BindDriver.
var sqlx = Suite{
	Name:      "sqlx",
	Module:    "github.com/jmoiron/sqlx",
	Databases: []string{"suite"},
	Env: []string{
		"SQLX_POSTGRES_DSN=skip", "SQLX_SQLITE_DSN=skip",
		"SQLX_MYSQL_DSN={server}{database}?{mark}&parseTime=true",
	},
	Patches: []Patch{
		// Without a connection its tests would pass by testing nothing.
		{File: "sqlx_test.go", Old: `fmt.Printf("Disabling MySQL tests:\n    %v", err)`, New: "panic(err)"},
	},
	Swap: []Patch{
		{File: "sqlx_test.go", Old: `Connect("mysql", mydsn)`, New: `Connect("failoverproxy", mydsn)`},
		{File: "sqlx_test.go", Old: `db.DriverName() == "mysql"`, New: `db.DriverName() == "failoverproxy"`, Count: 2},
		{File: "sqlx_context_test.go", Old: `db.DriverName() == "mysql"`, New: `db.DriverName() == "failoverproxy"`, Count: 2},
	},
	Added:   map[string]string{added: "package sqlx\n\n" + importOurs + "\nfunc init() { BindDriver(\"failoverproxy\", QUESTION) }\n"},
	Least:   55,
	Timeout: time.Minute,
}

var gorp = Suite{
	Name:      "gorp",
	Module:    "github.com/go-gorp/gorp/v3",
	Tags:      "integration",
	Databases: []string{"suite"},
	Env:       []string{"GORP_TEST_DIALECT=mysql", "GORP_TEST_DSN={server}{database}?{mark}"},
	Swap: []Patch{
		{File: "gorp_test.go", Old: `"UTF8"}, "mysql"`, New: `"UTF8"}, "failoverproxy"`},
		{File: "gorp_test.go", Old: `driver == "mysql"`, New: `driver == "failoverproxy"`, Count: 3},
	},
	Added:   map[string]string{added: "package gorp_test\n\n" + importOurs},
	Least:   50,
	Timeout: time.Minute,
}

// dbr finds its dialect by the driver's name.
var dbr = Suite{
	Name:      "dbr",
	Module:    "github.com/gocraft/dbr/v2",
	Databases: []string{"suite"},
	Env:       []string{"DBR_TEST_MYSQL_DSN={server}{database}?{mark}"},
	Patches: []Patch{
		// Its tests go through all databases; there is one here.
		{
			File: "dbr_test.go", Old: "testSession = []*Session{mysqlSession, postgresSession, sqlite3Session, mssqlSession}",
			New: "testSession = []*Session{mysqlSession}",
		},
		{
			File: "dbr_test.go", Old: "testSession := []*Session{mysqlSession, postgresSession, sqlite3Session}",
			New: "testSession, _ := []*Session{mysqlSession}, []*Session{postgresSession, sqlite3Session}",
		},
	},
	AsMySQL: true,
	Added:   map[string]string{added: "package dbr\n\n" + importAsMySQL},
	Skip: map[string]string{
		"^TestPostgres": "another database",
	},
	Least:   25,
	Timeout: time.Minute,
}

var goqu = Suite{
	Name:      "goqu",
	Module:    "github.com/doug-martin/goqu/v9",
	Package:   "dialect/mysql",
	Databases: []string{"suite"},
	Env:       []string{"MYSQL_URI={server}{database}?{mark}&parseTime=true"},
	Swap: []Patch{
		{File: "dialect/mysql/mysql_test.go", Old: `sql.Open("mysql", dbURI)`, New: `sql.Open("failoverproxy", dbURI)`},
	},
	Added:   map[string]string{"dialect/mysql/" + added: "package mysql_test\n\n" + importOurs},
	Least:   20,
	Timeout: time.Minute,
}

// xorm finds its dialect by the driver's name.
var xorm = Suite{
	Name:      "xorm",
	Module:    "xorm.io/xorm",
	Package:   "tests",
	Databases: []string{"suite"},
	Args:      []string{"-db=mysql", "-show_sql=false", "-conn_str={server}{database}?{mark}&charset=utf8mb4"},
	Patches: []Patch{
		// Drivers of other databases, which take longer to build than all the rest.
		{File: "tests/engine_test.go", Old: "\t_ \"gitee.com/travelliu/dm\"\n"},
		{File: "tests/engine_test.go", Old: "\t_ \"github.com/jackc/pgx/v5/stdlib\"\n"},
		{File: "tests/engine_test.go", Old: "\t_ \"github.com/lib/pq\"\n"},
		{File: "tests/engine_test.go", Old: "\t_ \"github.com/mattn/go-sqlite3\"\n"},
		{File: "tests/engine_test.go", Old: "\t_ \"github.com/microsoft/go-mssqldb\"\n"},
		{File: "tests/engine_test.go", Old: "\t_ \"github.com/ziutek/mymysql/godrv\"\n"},
		{File: "tests/engine_test.go", Old: "\t_ \"modernc.org/sqlite\"\n"},
	},
	AsMySQL: true,
	Added:   map[string]string{"tests/" + added: "package tests\n\n" + importAsMySQL},
	Least:   540,
	Timeout: 2 * time.Minute,
}
