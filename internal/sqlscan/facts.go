package sqlscan

import "strings"

// Mode says how quotes are to be read.
type Mode uint8

// The modes, to be combined.
const (
	AnsiQuotes         Mode = 1 << iota // "x" is an identifier
	NoBackslashEscapes                  // \ is an ordinary character in strings
	skipExecutable                      // /*! … */ is a comment
	// Multibyte: the client's character set has quotes as parts of its characters.
	Multibyte Mode = 0x20
	// AnyQuotes: nobody knows whether AnsiQuotes; both ways must lead to the same facts.
	AnyQuotes Mode = 0x40
	// AnyMode: nobody knows anything; all ways of reading must lead to the same facts.
	AnyMode Mode = 0x80
)

// Kind says what a statement is. The zero value is the careful one.
type Kind uint8

// The kinds.
const (
	Write     Kind = iota // changes data, or may
	Read                  // SELECT, SHOW, … that change nothing and lock nothing
	Begin                 // BEGIN, START TRANSACTION
	Commit                // COMMIT
	Rollback              // ROLLBACK, not to a savepoint
	Savepoint             // SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO
	Set                   // SET
	Use                   // USE
	DDL                   // definitions and administration
	Call                  // CALL
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{"WRITE", "READ", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "SET", "USE", "DDL", "CALL"}
	if int(k) < len(names) {
		return names[k]
	}
	return "UNKNOWN"
}

// Effects is what a statement may leave behind in its session, one bit for each kind
// of state.
type Effects uint32

// The effects.
const (
	EffectUnknown         Effects = 1 << iota // anything
	EffectRoutine                             // whatever a stored routine or EXECUTE does
	EffectVariable                            // a system variable of the session
	EffectUserVariable                        // @x
	EffectSchema                              // USE
	EffectNextTransaction                     // SET TRANSACTION for the next one only
	EffectTemporaryTable
	EffectTableLock // LOCK TABLES, FLUSH … WITH READ LOCK, LOCK INSTANCE
	EffectNamedLock // GET_LOCK
	EffectPrepared  // PREPARE
	EffectHandler   // HANDLER … OPEN
	EffectXA
	EffectSequence // NEXT VALUE FOR: the connection knows the value for LASTVAL
	effectsEnd
)

var effectNames = [...]string{
	"unknown effects", "stored routine", "session variable", "user variable", "default schema", "next transaction",
	"temporary table", "table lock", "named lock", "prepared statement", "handler", "XA transaction",
	"sequence value",
}

// String names the effects: "temporary table, named lock".
func (e Effects) String() string {
	var names []string
	for i, name := range effectNames {
		if e&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Facts is what [Scan] finds out.
type Facts struct {
	// Effects is what the text may leave behind in the session.
	Effects Effects
	// Ends is what it may end of that: UNLOCK TABLES, RELEASE_LOCK, DROP TEMPORARY TABLE. With
	// EffectSchema, it drops a schema, which may be the session's default one.
	Ends Effects
	Kind Kind
	// Statements counts the statements in the text, 255 and more as 255.
	Statements uint8
	flags      flags
}

type flags uint32

const (
	asksLast       flags = 1 << iota // FOUND_ROWS(), SHOW WARNINGS, …
	asksWarnings                     // … and among that, SHOW WARNINGS
	asksFound                        // … or FOUND_ROWS()
	asksInsertID                     // LAST_INSERT_ID()
	setsInsertID                     // LAST_INSERT_ID(n)
	implicitCommit                   // commits what is open
	chains                           // COMMIT AND CHAIN: the next transaction begins at once
	releases                         // COMMIT RELEASE: the server hangs up
	fromTable                        // FROM: reads more than variables
	usesTable                        // INSERT, SHOW, …
	inserts                          // INSERT, REPLACE, LOAD
	leavesCounts                     // DO
	readOnly                         // START TRANSACTION READ ONLY
	hintsReader                      // /* fp:reader */
	hintsWriter                      // /* fp:writer */
	locks                            // FOR UPDATE, LOCK IN SHARE MODE
	setsGlobal                       // SET GLOBAL, PERSIST
	local                            // SHOW PROCESSLIST, XA RECOVER
)

// Read reports whether the statement surely has no effect on data and session, so
// that it may be executed twice and elsewhere.
func (f Facts) Read() bool {
	return f.Kind == Read && f.Effects|f.Ends == 0 && f.Statements == 1 && f.flags&(asksLast|asksInsertID) == 0
}

// AsksLastStatement reports whether the answer depends on what the previous statement
// left on the connection: ROW_COUNT(), FOUND_ROWS(), SHOW WARNINGS.
func (f Facts) AsksLastStatement() bool { return f.flags&asksLast != 0 }

// AsksWarnings reports whether it depends on the warnings and errors that it left.
func (f Facts) AsksWarnings() bool { return f.flags&asksWarnings != 0 }

// AsksInsertID reports whether the answer depends on LAST_INSERT_ID().
func (f Facts) AsksInsertID() bool { return f.flags&asksInsertID != 0 }

// SetsInsertID reports whether the statement says itself what LAST_INSERT_ID() is to be.
func (f Facts) SetsInsertID() bool { return f.flags&setsInsertID != 0 }

// ReadsTable reports whether the statement reads from something that it names with FROM.
func (f Facts) ReadsTable() bool { return f.flags&fromTable != 0 }

// perhaps is said of a statement whose FROM need not be that of tables.
func (f Facts) perhaps() Facts {
	if f.ReadsTable() {
		f.flags = f.flags&^fromTable | usesTable
	}
	return f
}

// Inserts reports whether the statement may take a number from an AUTO_INCREMENT column.
func (f Facts) Inserts() bool { return f.flags&inserts != 0 }

// AsksFoundRows reports whether it depends on FOUND_ROWS(), which only rows replace: most
// other statements leave it as it was.
func (f Facts) AsksFoundRows() bool { return f.flags&asksFound != 0 }

// LeavesCounts reports whether ROW_COUNT() may stay what it was.
func (f Facts) LeavesCounts() bool { return f.flags&leavesCounts != 0 }

// UsesTable reports whether the statement reads from something or writes to it. MariaDB's
// other statements leave the warnings of their predecessors where they are.
func (f Facts) UsesTable() bool {
	return f.flags&(fromTable|usesTable) != 0
}

// Administers reports whether the statement is of a kind for which servers report changes
// that are none of the session's state: the ends of transactions, definitions.
func (f Facts) Administers() bool {
	return f.Kind == Begin || f.Kind == Commit || f.Kind == Rollback || f.Kind == Savepoint || f.Kind == DDL || f.flags&implicitCommit != 0 && f.Effects&EffectRoutine == 0
}

// Plain reports whether nothing is to be done for the statement but to execute it.
func (f Facts) Plain() bool {
	return f.Effects|f.Ends == 0 && f.flags&(asksLast|asksInsertID|setsInsertID) == 0
}

// EndsTransaction reports whether the text is one COMMIT or ROLLBACK after which no
// transaction is open.
func (f Facts) EndsTransaction() bool {
	return (f.Kind == Commit || f.Kind == Rollback) && f.Statements == 1 && f.flags&chains == 0
}

// Releases reports whether the server hangs up after the statement.
func (f Facts) Releases() bool { return f.flags&releases != 0 }

// MayCommit reports whether an open transaction may have been committed when the
// statement was executed.
func (f Facts) MayCommit() bool {
	return f.Kind == Commit || f.Kind == Begin || f.Kind == Call || f.Statements != 1 ||
		f.Opaque() || f.flags&implicitCommit != 0
}

// Compound reports whether the text may be several statements, of which some may have been
// executed when another one fails.
func (f Facts) Compound() bool {
	return f.Statements > 1 || f.Kind == Call || f.Opaque() && f.flags&implicitCommit != 0
}

// Opaque reports whether the text does not show all that the statement may do.
func (f Facts) Opaque() bool { return f.Effects&(EffectUnknown|EffectRoutine) != 0 }

// Preparation is what is to be known of the statement while it is only prepared: that leaves
// nothing behind, whatever it does when it is executed.
func (f Facts) Preparation() Facts {
	return Facts{Kind: Read, flags: f.flags & (hintsReader | hintsWriter | local)}
}

// MayWrite reports whether the statement changes data, or may, or locks it: it is neither a
// read nor transaction control, and not about the session alone.
func (f Facts) MayWrite() bool { return f.Kind == Write || f.Kind == DDL || f.Kind == Call }

// Concerns reports whether the statement is about what the server's other sessions meet: it
// locks something, or sets a global variable. On a reader it would reach nobody that it is for,
// and no server refuses it there, nor in a READ ONLY transaction.
func (f Facts) Concerns() bool {
	return f.flags&(locks|setsGlobal) != 0 || f.Effects&(EffectNamedLock|EffectTableLock) != 0
}

// Local reports whether the answer is about the server that gives it, and of use only with more
// statements to that server: its connections, for KILL, its prepared XA transactions, its binary log,
// its place in a replication.
func (f Facts) Local() bool { return f.flags&local != 0 }

// BeginsReadOnly reports whether the text is one START TRANSACTION … READ ONLY.
func (f Facts) BeginsReadOnly() bool {
	return f.Kind == Begin && f.Statements == 1 && f.flags&readOnly != 0
}

// unknown is what is said of a text that was not understood.
var unknown = Facts{Effects: EffectUnknown, Statements: 255}

// and adds the facts of a following statement of the same text.
func (f Facts) and(next Facts) Facts {
	if f.Statements == 0 {
		return next
	}
	if next.Statements == 0 {
		return f
	}
	kind := Write
	if f.Kind == next.Kind && f.Kind == Read {
		kind = Read
	}
	if f.flags&leavesCounts == 0 && next.flags&asksFound == 0 && (next.flags&asksWarnings == 0 || f.UsesTable()) {
		next.flags &^= asksLast | asksWarnings // it asks for what the text's own statement left
	}
	both := f.flags | next.flags
	for _, k := range [...]Kind{f.Kind, next.Kind} {
		if k == Begin || k == Commit || k == Rollback {
			both |= implicitCommit
		}
	}
	return Facts{
		// What one of several statements ends another may have begun.
		Effects: f.Effects | next.Effects, Kind: kind, flags: both,
		// But a schema that is gone is gone.
		Ends:       (f.Ends | next.Ends) & EffectSchema,
		Statements: uint8(min(int(f.Statements)+int(next.Statements), 255)),
	}
}
