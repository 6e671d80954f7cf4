// Package crosscheck compares sqlscan to a second opinion: whatever TiDB's MySQL parser
// finds to write, to lock or to change the session, sqlscan must never call a read. It is
// a module of its own, so that the parser is nobody's dependency.
package crosscheck
