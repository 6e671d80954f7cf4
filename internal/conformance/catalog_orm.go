package conformance

import "time"

// datatypes are GORM's JSON, date and UUID types: of GORM's own tests with a database,
// those that its modules ship.
var datatypes = Suite{
	Name:      "gorm-datatypes",
	Module:    "gorm.io/datatypes",
	Databases: []string{"suite"},
	Env:       []string{"GORM_DIALECT=mysql", "GORM_DSN={server}{database}?{mark}&charset=utf8mb4&parseTime=True&loc=UTC"},
	Swap: []Patch{
		{File: "main_test.go", Old: "mysql.Open(dbDSN)", New: `mysql.New(mysql.Config{DriverName: "failoverproxy", DSN: dbDSN})`},
	},
	Added:   map[string]string{added: "package datatypes_test\n\n" + importOurs},
	Least:   28,
	Timeout: time.Minute,
}

// dbresolver is GORM's plugin for readers and writers, with four databases of one server
// for the four servers that its suite expects.
var dbresolver = Suite{
	Name:      "gorm-dbresolver",
	Module:    "gorm.io/plugin/dbresolver",
	Databases: []string{"gorm_9911", "gorm_9912", "gorm_9913", "gorm_9914"},
	Env:       []string{"SUITE_SERVER={server}", "SUITE_PARAMS=?{mark}&"},
	Patches: []Patch{
		{
			File: "dbresolver_test.go", Old: `fmt.Sprintf("gorm:gorm@tcp(localhost:%v)/gorm?charset=utf8&parseTime=True&loc=Local", port)`,
			New: `os.Getenv("SUITE_SERVER") + fmt.Sprint("gorm_", port) + os.Getenv("SUITE_PARAMS") + "charset=utf8&parseTime=True&loc=Local"`,
		},
		{File: "dbresolver_test.go", Old: `"gorm:gorm@tcp(localhost:9911)/gorm?`, New: `os.Getenv("SUITE_SERVER")+"gorm_9911"+os.Getenv("SUITE_PARAMS")+"`, Count: 2},
		{File: "dbresolver_test.go", Old: `"gorm:gorm@tcp(localhost:9912)/gorm?`, New: `os.Getenv("SUITE_SERVER")+"gorm_9912"+os.Getenv("SUITE_PARAMS")+"`, Count: 2},
		{File: "dbresolver_test.go", Old: `"gorm:gorm@tcp(localhost:9913)/gorm?`, New: `os.Getenv("SUITE_SERVER")+"gorm_9913"+os.Getenv("SUITE_PARAMS")+"`, Count: 4},
		{File: "dbresolver_test.go", Old: `"gorm:gorm@tcp(localhost:9914)/gorm?`, New: `os.Getenv("SUITE_SERVER")+"gorm_9914"+os.Getenv("SUITE_PARAMS")+"`, Count: 2},
	},
	AsMySQL: true,
	Added:   map[string]string{added: "package dbresolver_test\n\n" + importAsMySQL},
	Least:   20,
	Timeout: time.Minute,
}

// pop finds its dialect by the driver's name. Its tests expect a database that its
// command has migrated before.
var pop = Suite{
	Name:      "pop",
	Module:    "github.com/gobuffalo/pop/v6",
	Databases: []string{"pop_test"},
	Env: []string{
		"SODA_DIALECT=mysql", "MYSQL_HOST=127.0.0.1", "MYSQL_PORT={port}", "MYSQL_USER={user}", "MYSQL_PASSWORD={password}",
	},
	Patches: []Patch{
		{
			File: "pop_test.go",
			Old:  "\tPDB, err = Connect(dialect)\n",
			New: "\tPDB, err = Connect(dialect)\n" +
				"\tif err == nil {\n" +
				"\t\tmigrator, failure := NewFileMigrator(\"testdata/migrations\", PDB)\n" +
				"\t\tif err = failure; err == nil {\n" +
				"\t\t\tmigrator.SchemaPath = \"\" // no dump\n" +
				"\t\t\terr = migrator.Up()\n" +
				"\t\t}\n" +
				"\t}\n",
		},
	},
	AsMySQL: true,
	Added:   map[string]string{added: "package pop\n\n" + importAsMySQL},
	Skip: map[string]string{
		"^Test_(PostgreSQL|Cockroach|SQLite)":             "other databases",
		"^Test_(LoadsConnectionsFromConfig|ParseConfig)$": "expect an environment without MYSQL_HOST",
		"^TestSpecificSuites$/^Test_MySQL_DDL_Schema$":    "runs mysqldump",
	},
	Least:   180,
	Timeout: time.Minute,
}
