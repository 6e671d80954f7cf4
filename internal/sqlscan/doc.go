// Package sqlscan says what a SQL statement does, from its text alone: whether it
// surely only reads, whether it begins or ends a transaction, and what it may leave
// behind in the session.
//
// It is a complete lexer of MySQL's and MariaDB's SQL (lexer.go) and a classifier
// that looks at keywords and calls (statement.go, query.go, set.go). It does not
// parse expressions. What it cannot understand counts as a write with unknown
// effects, and so does a call of any function that is not on the list of built-in
// functions without effects (function.go): a stored function can do anything.
//
// # What text cannot show
//
// A SELECT from a view may call a stored function, and a trigger may change the
// session; no text shows it. failoverproxy takes a view for a table: MySQL lets a
// function in a view write only if its definer may, and who reads through such a
// view and relies on its side effect does so on every other proxy's reader, too.
//
// SHOW STATUS tells of the connection, too, unless it says GLOBAL: it is a read, and shows the
// counters of whichever backend it comes upon.
//
// # Quoting depends on the server's sql_mode
//
// ANSI_QUOTES decides whether "x" is a string, NO_BACKSLASH_ESCAPES whether \' ends
// one, the server's version whether /*!80000 … */ is executed. The client's character set
// decides whether a byte is a quote or half a character: texts are understood if they are
// UTF-8, and a SET that makes even those ambiguous has unknown effects. With [AnyMode] a text
// that contains such a thing is read in each of the ways, and if they do not agree
// it is a write with unknown effects.
package sqlscan
