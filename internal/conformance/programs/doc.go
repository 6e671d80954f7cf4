// Package programs runs what people write on top of database/sql, once with the wrapped
// driver and once with ours, and compares what the programs saw.
//
// The tools' own MySQL tests are not part of the modules that a Go module proxy hands
// out, so these are programs of ours that use each tool in its whole breadth: GORM, bun,
// ent's SQL runtime, the code that sqlc generates, golang-migrate, goose, and
// database/sql itself. A program writes down all that it sees: values, counts, numbers
// and texts of errors. Whatever differs between the drivers is a failure: there is no
// list of differences that are allowed.
//
//	go test -C internal/conformance/programs -run 'TestPrograms/gorm$' -v
//	go test -C internal/conformance/programs -run 'TestPrograms/ent$/mysql/prepared' -v -args -transcripts
//
// Each program runs on MariaDB and MySQL, with arguments sent through prepared statements
// and put into the text by the driver, with a generous pool and with one of 2
// connections. A program that holds more than 2 at once (transactions, rows that are
// open) says how many, and has so many in the small pool.
//
// The module is nested so that the library does not depend on any of these tools.
package programs
