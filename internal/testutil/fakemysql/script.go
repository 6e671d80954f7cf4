package fakemysql

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Call is one statement that a client sent.
type Call struct {
	SQL  string
	Args []any // nil for the text protocol
	Conn ConnInfo

	session *scriptSession
}

// Begin and End open and end the session's transaction, as seen in the IN_TRANS
// flag. BEGIN, COMMIT and the like do so by themselves unless the script answers
// them. They must be called before the answer is returned.
func (c Call) Begin() { c.session.inTransaction = true }

// End is the opposite of Begin.
func (c Call) End() { c.session.inTransaction = false }

// HandlerFunc is a Handler that is one function for the statements of all
// sessions. A zero Reply means that it has no answer: then the standard ones
// apply, see Script. Close and BEGIN need nothing.
type HandlerFunc func(ctx context.Context, call Call) Reply

// Open implements Handler.
func (f HandlerFunc) Open(c ConnInfo) Session {
	return newScriptSession(NewScript().Default(f), c)
}

// Script is a Handler with answers by statement text. Texts are compared without
// regard to case, to a semicolon at the end, and to how much white space there
// is between words.
//
// A statement that the script does not know gets a standard answer: an OK for
// SET, USE, DO, BEGIN, START TRANSACTION, COMMIT and ROLLBACK (which are
// remembered in IN_TRANS and AUTOCOMMIT), KILL is carried out, and SELECT 1,
// SELECT CONNECTION_ID(), SELECT SLEEP(seconds), SELECT @@max_allowed_packet and
// SELECT @@version work. Everything else is an error 1064.
//
// All methods are safe for concurrent use; answers can be changed while it runs.
type Script struct {
	mu       sync.Mutex // guards what follows; never held while an answer runs
	answers  map[string]answer
	prefixes []prefixed
	other    func(context.Context, Call) Reply
	calls    []Call
}

type answer struct {
	results []Result
	f       func(context.Context, Call) Reply
}

type prefixed struct {
	prefix string
	answer answer
}

// NewScript makes an empty script. The zero Script is one, too.
func NewScript() *Script { return &Script{} }

// On gives the statement a fixed answer; none = an OK about nothing.
func (s *Script) On(sql string, results ...Result) *Script {
	if len(results) == 0 {
		results = []Result{{}}
	}
	return s.set(sql, answer{results: results})
}

// OnFunc answers the statement by a function. ctx is that of Session.Execute. A
// zero Reply means that the standard answer applies.
func (s *Script) OnFunc(sql string, f func(ctx context.Context, call Call) Reply) *Script {
	return s.set(sql, answer{f: f})
}

// OnPrefix answers statements that begin so and have no answer of their own. The
// prefix set last wins.
func (s *Script) OnPrefix(prefix string, f func(ctx context.Context, call Call) Reply) *Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prefixes = append(s.prefixes, prefixed{canonical(prefix), answer{f: f}})
	return s
}

// Default answers what has no answer; a zero Reply leaves it to the standard
// ones.
func (s *Script) Default(f func(ctx context.Context, call Call) Reply) *Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.other = f
	return s
}

func (s *Script) set(sql string, a answer) *Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers = map[string]answer{}
	}
	s.answers[canonical(sql)] = a
	return s
}

// Calls lists the statements that all sessions have sent, in the order in which
// they came.
func (s *Script) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is how often the statement has come.
func (s *Script) Count(sql string) int {
	sql = canonical(sql)
	n := 0
	for _, c := range s.Calls() {
		if canonical(c.SQL) == sql {
			n++
		}
	}
	return n
}

// Open implements Handler.
func (s *Script) Open(c ConnInfo) Session { return newScriptSession(s, c) }

// find notes the call and looks for its answer.
func (s *Script) find(call Call) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	return s.findLocked(call.SQL)
}

func (s *Script) findLocked(sql string) (answer, bool) {
	sql = canonical(sql)
	if a, ok := s.answers[sql]; ok {
		return a, true
	}
	for _, p := range slices.Backward(s.prefixes) {
		if strings.HasPrefix(sql, p.prefix) {
			return p.answer, true
		}
	}
	return answer{f: s.other}, s.other != nil
}

// columnsOf are the columns of the statement's fixed answer, if it has one.
func (s *Script) columnsOf(sql string) []Column {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, _ := s.findLocked(sql)
	if len(a.results) == 0 {
		return nil
	}
	return a.results[0].Columns
}

// canonical is the form in which texts are compared.
func canonical(sql string) string {
	return strings.ToLower(strings.TrimRight(strings.Join(strings.Fields(sql), " "), "; "))
}

// scriptSession is a session of a Script or a HandlerFunc.
type scriptSession struct {
	script        *Script
	info          ConnInfo
	inTransaction bool
	noAutocommit  bool
}

func newScriptSession(s *Script, c ConnInfo) *scriptSession {
	return &scriptSession{script: s, info: c}
}

func (s *scriptSession) Execute(ctx context.Context, sql string, args []any) Reply {
	call := Call{SQL: sql, Args: args, Conn: s.info, session: s}
	a, ok := s.script.find(call)
	if ok && a.f != nil {
		if reply := a.f(ctx, call); len(reply.Results) > 0 {
			return reply
		}
	} else if ok {
		return Reply{Results: slices.Clone(a.results)}
	}
	return s.standard(ctx, canonical(sql))
}

func (s *scriptSession) Describe(sql string) (int, []Column, *Error) {
	return placeholders(sql), s.script.columnsOf(sql), nil
}

func (s *scriptSession) InTransaction() bool { return s.inTransaction }

func (s *scriptSession) Status() uint16 {
	if s.noAutocommit {
		return 0
	}
	return wire.StatusAutocommit
}

func (s *scriptSession) Close() {}

// placeholders counts the question marks outside of quotes and comments.
func placeholders(sql string) int {
	n := 0
	for i := 0; i < len(sql); i++ {
		switch c := sql[i]; {
		case c == '?':
			n++
		case c == '\'' || c == '"' || c == '`':
			i = quoteEnd(sql, i)
		case c == '#' || strings.HasPrefix(sql[i:], "-- "):
			i += indexOrEnd(sql[i:], "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i += indexOrEnd(sql[i:], "*/")
		}
	}
	return n
}

// quoteEnd is where the quote that begins at i ends. A doubled quote ends it and
// begins another, which comes to the same.
func quoteEnd(sql string, i int) int {
	quote := sql[i]
	for i++; i < len(sql) && sql[i] != quote; i++ {
		if sql[i] == '\\' && quote != '`' {
			i++
		}
	}
	return i
}

func indexOrEnd(s, sep string) int {
	if i := strings.Index(s, sep); i >= 0 {
		return i
	}
	return len(s)
}

var (
	_ Handler       = (*Script)(nil)
	_ Handler       = HandlerFunc(nil)
	_ StatusSession = (*scriptSession)(nil)
)
