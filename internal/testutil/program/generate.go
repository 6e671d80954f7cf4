package program

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// Options are choices for [Options.Generate].
type Options struct {
	// Sessions is the number of sessions at a time, at most 16. 0 means 12.
	Sessions int

	// Held is the number of sessions that may hold something at a time. 0 means 2.
	Held int

	// Omit leaves kinds of steps out: what a driver is known not to do.
	Omit []Kind

	// EndByClose lets a session hold what it holds until it is closed, for a driver
	// whose pins do not end.
	EndByClose bool
}

// Generate makes a program of about n steps (a few more, so that none is torn) with the
// default [Options].
func Generate(seed uint64, n int, flavor mysqld.Flavor) Program {
	return Options{}.Generate(seed, n, flavor)
}

// Generate makes a program of about n steps. The same options, seed, length and flavor
// make the same program.
func (o Options) Generate(seed uint64, n int, flavor mysqld.Flavor) Program {
	if o.Sessions == 0 {
		o.Sessions = 12
	}
	if o.Held == 0 {
		o.Held = 2
	}
	g := &generator{
		Rand:    rand.New(rand.NewPCG(seed, 0x5e5510)),
		options: o,
		program: Program{Seed: seed, Flavor: flavor, held: o.Held},
		holds:   make(holds),
		mariadb: flavor == mysqld.FlavorMariaDB,
		a:       databaseName(seed, "a"),
		b:       databaseName(seed, "b"),
		c:       databaseName(seed, "c"),
	}
	for i := range o.Sessions {
		g.sessions = append(g.sessions, &session{id: i})
	}
	for _, op := range operations {
		if !slices.Contains(o.Omit, op.kind) && (!op.mariadb || g.mariadb) {
			g.operations = append(g.operations, op)
			g.weight += op.weight
		}
	}
	for len(g.program.Steps) < n {
		g.turn(g.sessions[g.IntN(len(g.sessions))])
	}
	return g.program
}

// generator makes a program. It knows of each session what it may hold.
type generator struct {
	*rand.Rand
	options    Options
	program    Program
	sessions   []*session
	holds      holds
	operations []operation
	weight     int
	mariadb    bool
	a, b, c    string // databases

	touched []string // variables that were set last

	group int // of the steps being emitted
	last  int // group given last
	kind  Kind
}

// session is the generator's model of a session.
type session struct {
	id, generation int
	inTx           bool         // a transaction of database/sql is open
	serializable   bool         // its reads may lock
	readOnly       bool         // it may have begun a READ ONLY transaction by text
	handles        map[int]bool // prepared statements: whether they have rows
	touched        []string     // variables that it has set
	tables         bool         // it may have made tables
}

// operation is a kind of turn.
type operation struct {
	kind    Kind
	weight  int
	mariadb bool // for MariaDB only
	emit    func(g *generator, s *session)
}

// operations are filled by an init function: they refer to the generator's methods,
// which refer to them.
var operations []operation

func init() {
	operations = slices.Concat(settingOperations, tableOperations, transactionOperations, routineOperations, statementOperations)
}

// turn lets a session do something.
func (g *generator) turn(s *session) {
	if g.maybeEnd(s) {
		return
	}
	at := g.IntN(g.weight)
	i := slices.IndexFunc(g.operations, func(op operation) bool {
		at -= op.weight
		return at < 0
	})
	g.kind = g.operations[i].kind
	g.operations[i].emit(g, s)
	// What a statement left behind is asked for at once, or after others' statements.
	if g.omitted(KindQuestion) {
		return
	}
	switch g.IntN(9) {
	case 0, 1:
		g.question(s)
	case 2:
		if other := g.sessions[g.IntN(len(g.sessions))]; other != s {
			g.kind = KindRead
			g.read(other)
			g.question(s)
		}
	}
}

func (g *generator) omitted(k Kind) bool { return slices.Contains(g.options.Omit, k) }

// maybeEnd lets a session that holds something end it, more often than it would by
// accident, and reports whether it did.
func (g *generator) maybeEnd(s *session) bool {
	held := g.holds[s.id]
	switch {
	case len(held) == 0:
		return false
	case slices.Contains(held, heldWithoutEnd) || g.options.EndByClose:
		if !g.one(16) {
			return false
		}
		g.close(s)
	case slices.Contains(held, "lock") && g.one(2):
		g.end(s, "lock") // with it most statements fail
	case g.one(5):
		g.end(s, held[g.IntN(len(held))])
	default:
		return false
	}
	return true
}

// one is true in one of n cases.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

// among picks one of several.
func among[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// emit appends a step, after another session has given up what it holds if that takes
// it.
func (g *generator) emit(s *session, step Step) {
	step.Session, step.Group = s.id, g.group
	if step.Kind == 0 {
		step.Kind = g.kind
	}
	if step.Act != ActPrepare && oneShotVariable.MatchString(step.Text) {
		step.Takes = append(step.Takes, "oneshot")
	}
	if g.options.EndByClose {
		step.Ends = nil
	}
	if len(step.Takes) > 0 && len(g.holds[s.id]) == 0 {
		g.makeRoom(s)
	}
	g.holds.apply(step)
	g.program.Steps = append(g.program.Steps, step)
}

// oneShotVariable is one that is meant for the next transaction only.
var oneShotVariable = regexp.MustCompile("(?i)@@`?(tx|transaction)_")

// exec appends a statement that is executed for its result, or, now and then, for rows
// that it does not have. Its text is written in one of many ways.
func (g *generator) exec(s *session, text string, takes ...string) {
	act := ActExec
	if g.one(10) {
		act = ActQuery
	}
	if strings.HasPrefix(text, "SET ") && (strings.Contains(text, `\`) || strings.Contains(text, "é") || strings.Contains(strings.ToLower(text), "sql_auto_is_null")) { // what that means depends on the sql_mode
		takes = append(takes, heldWithoutEnd)
	}
	g.emit(s, Step{Act: act, Text: g.decorate(text), Takes: takes})
}

// query appends a statement that is executed for its rows, or, now and then, for its
// result.
func (g *generator) query(s *session, text string, takes ...string) {
	act := ActQuery
	switch g.IntN(20) {
	case 0:
		act = ActExec
	case 1:
		act = ActGlance
	}
	g.emit(s, Step{Act: act, Text: g.decorate(text), Takes: takes})
}

// grouped makes the steps that f emits belong together.
func (g *generator) grouped(f func()) {
	if g.group != 0 {
		f()
		return
	}
	g.last++
	g.group = g.last
	f()
	g.group = 0
}

// decorate adds what a reader of the text must not stumble over.
func (g *generator) decorate(text string) string {
	switch g.IntN(60) {
	case 0:
		return "/* SET @u1 = 1; */ " + text
	case 1:
		return "-- USE nowhere\n" + text
	case 2:
		return "# BEGIN\n\t" + text
	case 3:
		return text + ";"
	case 4:
		return text + " /* COMMIT */"
	case 5:
		return " \n" + text + " -- '"
	case 6:
		return "/*!40101 " + text + " */"
	}
	return text
}

// makeRoom lets another session give up what it holds, until s may hold something.
func (g *generator) makeRoom(s *session) {
	group, kind := g.group, g.kind
	for len(g.holds) >= g.options.Held {
		var held []*session
		for _, other := range g.sessions {
			if other != s && len(g.holds[other.id]) > 0 {
				held = append(held, other)
			}
		}
		g.group = 0
		g.endAll(held[g.IntN(len(held))])
	}
	g.group, g.kind = group, kind
}

func (g *generator) endAll(s *session) {
	if slices.Contains(g.holds[s.id], heldWithoutEnd) || g.options.EndByClose || g.one(8) {
		g.close(s)
		return
	}
	for _, name := range slices.Clone(g.holds[s.id]) {
		g.end(s, name)
	}
}

// end appends what ends something that the session holds.
func (g *generator) end(s *session, name string) {
	g.kind = KindEnd
	step := Step{Act: ActExec, Ends: []string{name}}
	switch name {
	case "tx":
		if s.inTx {
			g.endTx(s)
			return
		}
		step.Text = among(g, "COMMIT", "ROLLBACK", "COMMIT WORK", "commit", "ROLLBACK WORK", "COMMIT AND NO CHAIN")
	case "oneshot":
		if s.inTx {
			g.endTx(s)
		}
		step.Text = among(g, "COMMIT", "ROLLBACK")
	case "autocommit":
		touched := slices.ContainsFunc(s.touched, func(name string) bool { return strings.HasSuffix(name, "_read_only") })
		if (s.readOnly || touched) && !s.inTx {
			// Ended by autocommit alone, the mode of a transaction outlives it by one.
			g.emit(s, Step{Kind: KindEnd, Act: ActExec, Text: "COMMIT"})
		}
		step.Text = among(g, "SET autocommit = 1", "SET @@autocommit = ON", "SET SESSION autocommit = 'on'", "SET LOCAL autocommit = TRUE")
		if !s.inTx {
			step.Ends = append(step.Ends, "tx")
		}
	case "lock":
		step.Text = among(g, "UNLOCK TABLES", "unlock table")
	case "schema":
		step.Text = "USE " + g.a
	case "named":
		step.Act, step.Text = ActQuery, among(g, "SELECT RELEASE_ALL_LOCKS()", "DO RELEASE_ALL_LOCKS()")
	case "temp":
		if slices.Contains(g.holds[s.id], "tx") {
			g.end(s, "tx")
		}
		g.emit(s, Step{Kind: KindEnd, Act: ActExec, Text: "SET SESSION TRANSACTION READ WRITE"}) // or DROP is refused
		step.Text = "DROP TEMPORARY TABLE IF EXISTS " + strings.Join(g.temporaries(s), ", ")
	case "p1", "p2":
		step.Text = among(g, "DEALLOCATE PREPARE ", "DROP PREPARE ") + name
	case "h1", "h2":
		if slices.Contains(g.holds[s.id], "lock") {
			g.end(s, "lock") // CLOSE is refused under it
		}
		step.Text = "HANDLER " + name + " CLOSE"
	default:
		g.close(s)
		return
	}
	g.emit(s, step)
}

func (g *generator) endTx(s *session) {
	s.inTx = false
	g.emit(s, Step{Kind: KindTx, Act: among(g, ActCommit, ActCommit, ActRollback), Ends: []string{"tx"}})
}

// close ends a session and begins another one in its place. What the old one held may
// take the server a moment to let go; the new one waits for that, so that nobody sees a
// difference between moments.
func (g *generator) close(s *session) {
	held := len(g.holds[s.id]) > 0
	g.grouped(func() {
		if s.inTx {
			g.endTx(s)
		}
		g.emit(s, Step{Kind: KindClose, Act: among(g, ActClose, ActClose, ActClose, ActAbandon)})
		if s.tables {
			// Many tables make InnoDB forget some at its own pace, and their insert ids
			// then go on differently.
			x := g.sprintf("x%d_%d", s.id, s.generation)
			g.emit(s, Step{Kind: KindClose, Act: ActExec, Text: g.sprintf("DROP TABLE IF EXISTS %[1]s.%[4]s, %[1]s.%[4]sr, %[2]s.%[4]s, %[2]s.%[4]sr, %[3]s.%[4]s, %[3]s.%[4]sr", g.a, g.b, g.c, x)})
		}
		*s = session{id: s.id, generation: s.generation + 1}
		switch {
		case !held:
			// Something to ask for: the handshake may have left anything.
			g.emit(s, Step{Kind: KindClose, Act: ActQuery, Text: "SELECT 1"})
			return
		case g.options.EndByClose:
			g.emit(s, Step{Kind: KindClose, Act: ActQuery, Text: g.sprintf("SELECT COUNT(*) FROM %s.t%d FOR UPDATE", g.a, s.id)})
			g.emit(s, Step{Kind: KindClose, Act: ActQuery, Text: g.sprintf("SELECT COUNT(*) FROM %s.t%d FOR UPDATE", g.b, s.id)})
			g.emit(s, Step{Kind: KindClose, Act: ActQuery, Text: g.sprintf("SELECT v >= 0 FROM %s.board WHERE id = %d FOR UPDATE", g.a, s.id)})
			return
		}
		g.emit(s, Step{Kind: KindClose, Act: ActExec, Text: g.sprintf("LOCK TABLES %s.t%d WRITE, %s.t%d WRITE", g.a, s.id, g.b, s.id), Takes: []string{"lock"}})
		g.emit(s, Step{Kind: KindClose, Act: ActExec, Text: "UNLOCK TABLES", Ends: []string{"lock"}})
		g.emit(s, Step{Kind: KindClose, Act: ActQuery, Text: g.sprintf("SELECT v >= 0 FROM %s.board WHERE id = %d FOR UPDATE", g.a, s.id)})
	})
}

// table is the session's own table, in the current database or in one that is named.
func (g *generator) table(s *session) string {
	return among(g, "", "", "", g.a+".", g.b+".") + g.sprintf("t%d", s.id)
}

// levels of isolation, as database/sql has them.
var levels = []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}
