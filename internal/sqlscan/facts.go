package sqlscan

import "strings"

// Mode says how quotes are to be read.
type Mode uint8

// The modes, to be combined.
const (
	AnsiQuotes         Mode = 1 << iota // "x" is an identifier
	NoBackslashEscapes                  // \ is an ordinary character in strings
	skipExecutable                      // /*! … */ is a comment
	// AnyMode: nobody knows; all ways of reading must lead to the same facts.
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
	EffectVariable                            // a system variable of the session
	EffectUserVariable                        // @x
	EffectSchema                              // USE
	EffectAutocommit                          // SET autocommit
	EffectNextTransaction                     // SET TRANSACTION for the next one only
	EffectTemporaryTable
	EffectTableLock // LOCK TABLES, FLUSH … WITH READ LOCK, LOCK INSTANCE
	EffectNamedLock // GET_LOCK
	EffectPrepared  // PREPARE
	EffectHandler   // HANDLER … OPEN
	EffectXA
	effectsEnd
)

var effectNames = [...]string{
	"unknown effects", "session variable", "user variable", "default schema", "autocommit", "next transaction",
	"temporary table", "table lock", "named lock", "prepared statement", "handler", "XA transaction",
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
	// Ends is what it may end of that: UNLOCK TABLES, RELEASE_LOCK, DROP TEMPORARY TABLE.
	Ends Effects
	Kind Kind
	// Statements counts the statements in the text, 255 and more as 255.
	Statements uint8
	flags      flags
}

type flags uint8

const (
	asksLast       flags = 1 << iota // LAST_INSERT_ID(), SHOW WARNINGS, …
	implicitCommit                   // commits what is open
	chains                           // COMMIT AND CHAIN: the next transaction begins at once
	releases                         // COMMIT RELEASE: the server hangs up
	readOnlyTx                       // START TRANSACTION READ ONLY
)

// Read reports whether the statement surely has no effect on data and session, so
// that it may be executed twice and elsewhere.
func (f Facts) Read() bool {
	return f.Kind == Read && f.Effects == 0 && f.Statements == 1 && f.flags&asksLast == 0
}

// AsksLastStatement reports whether the answer depends on what the previous statement
// left on the connection: LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS(), SHOW WARNINGS.
func (f Facts) AsksLastStatement() bool { return f.flags&asksLast != 0 }

// EndsTransaction reports whether the text is one COMMIT or ROLLBACK after which no
// transaction is open.
func (f Facts) EndsTransaction() bool {
	return (f.Kind == Commit || f.Kind == Rollback) && f.Statements == 1 && f.flags&chains == 0
}

// MayCommit reports whether an open transaction may have been committed when the
// statement was executed.
func (f Facts) MayCommit() bool {
	return f.Kind == Commit || f.Kind == Begin || f.Kind == Call || f.Statements != 1 ||
		f.Effects&EffectUnknown != 0 || f.flags&implicitCommit != 0
}

// ReadOnlyTransaction reports whether the statement begins a READ ONLY transaction.
func (f Facts) ReadOnlyTransaction() bool { return f.flags&readOnlyTx != 0 }

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
	both := f.flags | next.flags
	for _, k := range [...]Kind{f.Kind, next.Kind} {
		if k == Begin || k == Commit || k == Rollback {
			both |= implicitCommit
		}
	}
	return Facts{
		// What one of several statements ends another may have begun.
		Effects: f.Effects | next.Effects, Kind: kind, flags: both,
		Statements: uint8(min(int(f.Statements)+int(next.Statements), 255)),
	}
}
