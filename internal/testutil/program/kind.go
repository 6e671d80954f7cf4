package program

// Kind is what a step is about. [Options.Omit] leaves kinds out.
type Kind uint8

const (
	KindVariable    Kind = iota // SET of system variables to literals
	KindNames                   // SET NAMES, SET CHARACTER SET
	KindIsolation               // isolation level and access mode of the session
	KindInvalid                 // SET that fails, wholly or half-way
	KindExpression              // SET to expressions
	KindUser                    // user variables: literals
	KindAssign                  // user variables: := and INTO
	KindUse                     // USE
	KindDropped                 // a current database that is dropped
	KindProbe                   // reads of variables
	KindEffect                  // reads that settings show in
	KindRead                    // reads of tables
	KindBoard                   // reads and writes of what other sessions see
	KindInsert                  // inserts, which set the insert id
	KindWrite                   // updates and deletes
	KindQuestion                // what the previous statement left
	KindError                   // statements that fail
	KindTemporary               // temporary tables
	KindTableLock               // LOCK TABLES
	KindNamedLock               // GET_LOCK
	KindTextPrepare             // PREPARE and EXECUTE as text
	KindHandler                 // HANDLER
	KindArgs                    // statements with arguments
	KindStmt                    // prepared statements that are kept
	KindBegin                   // transactions as text
	KindTx                      // transactions of database/sql
	KindOneShot                 // SET TRANSACTION
	KindAutocommit              // autocommit off and on
	KindDDL                     // CREATE, ALTER, DROP: implicit commits
	KindCall                    // procedures
	KindFunction                // stored functions
	KindXA                      // XA transactions
	KindMulti                   // several statements in one text
	KindTrap                    // texts that are easily misread
	KindSeed                    // variables that are used up: rand_seed1, insert_id
	KindRole                    // SET ROLE
	KindSequence                // MariaDB's sequences
	KindCancel                  // cancelled contexts
	KindPing                    // Conn.Ping
	KindClose                   // ends of sessions
	KindEnd                     // ends of what a session holds
	numberOfKinds   = iota
)

var kindNames = [numberOfKinds]string{
	"variable", "names", "isolation", "invalid", "expression", "user", "assign", "use", "dropped", "probe", "effect",
	"read", "board", "insert", "write", "question", "error", "temporary", "tablelock", "namedlock", "textprepare",
	"handler", "args", "stmt", "begin", "tx", "oneshot", "autocommit", "ddl", "call", "function", "xa", "multi", "trap",
	"seed", "role", "sequence", "cancel", "ping", "close", "end",
}

func (k Kind) String() string { return kindNames[k] }
