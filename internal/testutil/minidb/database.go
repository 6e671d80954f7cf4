package minidb

import (
	"sync"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
)

// DB is a server's data. It is a fakemysql.Handler, safe for concurrent use.
type DB struct {
	mu      sync.Mutex // guards what follows, all that is in it, and the sessions; never held while waiting
	schemas map[string]*schema
	globals map[string]any // what SET GLOBAL changed

	parsedMu sync.Mutex
	parsed   map[cacheKey]parsed
}

// schema is a database in MySQL's sense.
type schema struct{ tables map[string]*table }

func newSchema() *schema { return &schema{tables: map[string]*table{}} }

// cacheKey is a statement as parsed under a sql_mode.
type cacheKey struct {
	sql  string
	mode mode
}

type parsed struct {
	statements []*statement
	err        *fakemysql.Error
}

// New makes an empty DB.
func New() *DB {
	return &DB{
		schemas: map[string]*schema{"": newSchema()},
		globals: map[string]any{},
		parsed:  map[cacheKey]parsed{},
	}
}

var _ fakemysql.Handler = (*DB)(nil)

// Open implements fakemysql.Handler. A database that the client names and that is not
// there is made; fakemysql.Config.Databases is the way to refuse it.
func (db *DB) Open(c fakemysql.ConnInfo) fakemysql.Session {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.schemas[c.Database] == nil {
		db.schemas[c.Database] = newSchema()
	}
	return newSession(db, c)
}

// What the cache of parsed statements keeps.
const (
	mostParsed    = 2000
	longestParsed = 2000 // bytes
)

// parse parses a text, or finds it parsed already.
func (db *DB) parse(sql string, m mode) ([]*statement, *fakemysql.Error) {
	if len(sql) > longestParsed {
		return parse(sql, m)
	}
	key := cacheKey{sql, m}
	db.parsedMu.Lock()
	known, ok := db.parsed[key]
	db.parsedMu.Unlock()
	if ok {
		return known.statements, known.err
	}
	statements, err := parse(sql, m)
	db.parsedMu.Lock()
	defer db.parsedMu.Unlock()
	if len(db.parsed) >= mostParsed {
		clear(db.parsed)
	}
	db.parsed[key] = parsed{statements, err}
	return statements, err
}
