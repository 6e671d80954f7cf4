package aurorasim

import (
	"errors"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// job is a command on its way through the instance.
type job struct {
	Statement
	text     *text // nil for commands without SQL
	payload  []byte
	prepared *statement // set by a COM_STMT_PREPARE
	executed *statement // by a COM_STMT_EXECUTE
	local    [][]byte   // the answer, if the instance gives it itself
	failure  *wire.Error
	shown    *shownVariables
	fault    *Fault
}

// verdict is what an instance says to a command at the moment of decision.
type verdict uint8

const (
	admitted       verdict = iota // counts as being sent until sent is called
	refusedAsWrite                // so does this
	needsClass                    // the text must be looked at first
	needsReadOnly                 // the upstream's session is not as this role needs it
	held                          // until something changes
	dead
)

// admit decides, at one moment, whether a command may go to the upstream: this is
// the fence. After a demotion has returned from settled, no command that was
// admitted before it is on its way any more.
func (i *Instance) admit(c *conn, j *job, classed bool) (verdict, <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	sql := j.text != nil && j.Executes()
	switch {
	case !i.up:
		return dead, nil
	case i.frozen > 0:
		return held, i.changed
	case i.cluster.cfg.Plain:
	case sql && c.readOnly == i.writer && !i.cluster.cfg.Upstream.Literal:
		return needsReadOnly, nil
	case i.writer && !i.readOnly || !sql:
	case !classed:
		return needsClass, nil
	case j.text.class != reads && i.believes:
		return held, i.changed
	case j.text.class != reads:
		i.sending++
		return refusedAsWrite, nil
	}
	i.sending++
	return admitted, nil
}

// sent ends what admit began.
func (i *Instance) sent() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sending--; i.sending == 0 && i.settling > 0 {
		i.wakeLocked()
	}
}

// run brings a command to its end: relayed, answered here, refused, or lost with the
// connection. The caller has the turn. False ends the connection.
func (c *conn) run(j *job) bool {
	i := c.inst
	if !c.pause(i.delayOf(j.Statement)) {
		return false
	}
	if !c.admit(j) {
		return false
	}
	if j.failure == nil && j.local == nil {
		c.prepareJob(j)
	}
	if j.fault = i.claim(j.Statement); j.fault != nil && j.fault.action == actError {
		i.sent()
		j.failure = j.fault.err
		c.answerHere(j)
		c.end(endClosed)
		return false
	}
	if j.failure != nil || j.local != nil {
		i.sent()
		return c.answerHere(j)
	}
	return c.relay(j)
}

// admit waits for the verdict and does what it asks for. Afterwards the job is counted
// as being sent, its failure may be set.
func (c *conn) admit(j *job) bool {
	if j.prepared != nil && c.readOnly && j.text.kind() != reads {
		// MariaDB does not even prepare a write in a READ ONLY session; a reader
		// of Aurora does. Only its execution is refused.
		if c.setReadOnly(false) != nil {
			return false
		}
	}
	classed := false
	for {
		v, changed := c.inst.admit(c, j, classed)
		switch v {
		case admitted:
			return true
		case needsClass:
			j.text.kind()
			classed = true
		case needsReadOnly:
			if err := c.setReadOnly(!c.readOnly); err != nil {
				return false
			}
		case refusedAsWrite:
			j.failure = readOnlyError()
			if j.text.class == creates {
				j.failure = storageError()
			}
			c.inst.counts.refused.Add(1)
			return true
		case held:
			c.inst.counts.held.Add(1)
			ended := false
			select {
			case <-changed:
			case <-c.ended:
				ended = true
			}
			c.inst.counts.held.Add(-1)
			if ended {
				return false
			}
		case dead:
			return false
		}
	}
}

// prepareJob finds what the instance answers itself, and rewrites the rest.
func (c *conn) prepareJob(j *job) {
	if j.text == nil || c.inst.cluster.cfg.Plain {
		return
	}
	if j.failure = c.lostTransaction(j); j.failure != nil {
		return
	}
	if id, ok := killTarget(j.killTokens()); ok && c.foreign(id) {
		j.failure = unknownThread(id)
		return
	}
	if c.readOnly && j.Executes() && endsReadOnlySession(j.text.lex()) {
		defer func() { c.readOnly = false }()
	}
	if c.answerReplicaStatus(j) {
		return
	}
	named := j.text.mentions()
	if named.show && j.Command != wire.ComStmtPrepare {
		j.shown = showVariables(j.text, c.inst.variables(),
			j.Command == wire.ComStmtExecute, c.inst.cluster.cfg.Upstream.Literal)
	}
	if !named.any() {
		return
	}
	if j.failure = c.viewError(named); j.failure != nil {
		return
	}
	if c.inst.cluster.cfg.Upstream.Literal && c.answerQuery(j) {
		return
	}
	c.substitute(j)
}

// killTokens takes only texts apart that may be a KILL.
func (j *job) killTokens() []token {
	if !j.Executes() || !hasPrefixFold(firstWord(j.text.sql), "KILL") {
		return nil
	}
	return j.text.lex()
}

// firstWord is the text from its first letter on, comments not counted.
func firstWord(sql string) string {
	l := lexer{sql: sql, escapes: true}
	l.skip()
	return sql[l.pos:]
}

// lostTransaction is the answer to a statement of a transaction that ended when the
// instance was demoted: only a ROLLBACK, or the failure of a COMMIT, ends that.
func (c *conn) lostTransaction(j *job) *wire.Error {
	if !c.rolledBack || !j.Executes() {
		return nil
	}
	tokens := j.text.lex()
	if len(tokens) > 0 && tokens[0].is("ROLLBACK") {
		c.rolledBack = false
		return nil
	}
	if len(tokens) > 0 && tokens[0].is("COMMIT") {
		c.rolledBack = false
	}
	return readOnlyError()
}

func (c *conn) viewError(n names) *wire.Error {
	switch {
	case n.blueGreen && c.inst.cluster.deployment.Load() == nil:
		return &wire.Error{Number: 1146, State: "42S02", Message: "Table 'mysql.rds_topology' doesn't exist"}
	case n.blueGreen && c.inst.cluster.isDenied(c.user):
		return &wire.Error{Number: 1142, State: "42000", Message: "SELECT command denied to user '" + c.user + "'@'" + c.host + "' for table 'rds_topology'"}
	case !n.view:
		return nil
	case c.inst.cluster.cfg.NoView && c.inst.cluster.cfg.Deployment == MultiAZCluster:
		return &wire.Error{Number: 1146, State: "42S02", Message: "Table 'mysql.rds_topology' doesn't exist"}
	case c.inst.cluster.cfg.NoView:
		return &wire.Error{Number: 1109, State: "42S02", Message: "Unknown table 'REPLICA_HOST_STATUS' in information_schema"}
	case c.inst.cluster.isDenied(c.user):
		return &wire.Error{Number: 1142, State: "42000", Message: "SELECT command denied to user '" + c.user + "'@'" + c.host +
			"' for table '" + c.inst.cluster.cfg.Deployment.relation().name + "'"}
	}
	return nil
}

// substitute rewrites the text for the upstream.
func (c *conn) substitute(j *job) {
	sql := j.text.substitute(c.inst.variables(), c.inst.view())
	switch {
	case j.executed != nil:
		var refused *wire.Error
		switch err := c.reprepare(j.executed, sql); {
		case errors.As(err, &refused):
			j.failure = refused
		case err == nil:
			j.payload = patched(j.payload, j.executed.upstream)
		}
		return
	case j.prepared != nil:
		j.prepared.prepared = sql
	}
	j.payload = append([]byte{j.payload[0]}, sql...)
}

// relay sends the command to the upstream. answers gives the turn back.
func (c *conn) relay(j *job) bool {
	i := c.inst
	defer i.sent()
	ex := &exchange{
		response: wire.NewResponse(j.Command, c.caps),
		shown:    j.shown, prepared: j.prepared, fault: j.fault,
		readOnly: c.readOnly || c.readOnlyTrx,
	}
	answered := j.Command.Answered()
	if answered {
		if !c.begin(ex) {
			return false
		}
		ex.relay = i.cluster.journal.add(j.Statement, true)
		i.counts.sent.Add(1)
	}
	if c.upOut.send(0, j.payload) != nil {
		c.cutUpstream()
		return false
	}
	if !answered {
		c.turn <- struct{}{}
	}
	return true
}

// answerHere gives the instance's own answer. The turn comes back at once.
func (c *conn) answerHere(j *job) bool {
	packets := j.local
	errno := uint16(0)
	if j.failure != nil {
		packets, errno = [][]byte{j.failure.Append(nil)}, j.failure.Number
	}
	f := j.fault
	keep := len(packets)
	if f != nil && f.action == actCut {
		keep = min(f.packets, keep)
	}
	if f != nil && (f.action == actSwallow || f.action == actMute) {
		keep = 0
	}
	relay := c.inst.cluster.journal.add(j.Statement, false)
	c.inst.counts.local.Add(1)
	if keep == len(packets) {
		c.inst.cluster.journal.answered(relay, errno, true)
	}
	if f == nil { // before the client can know that it has the answer
		c.turn <- struct{}{}
	}
	c.outMu.Lock()
	for n, p := range packets[:keep] {
		c.out.put(byte(n+1), p)
	}
	if f != nil && f.action == actCut && f.err != nil && keep < len(packets) {
		c.out.put(byte(keep+1), f.err.Append(nil))
	}
	err := c.out.flush()
	c.outMu.Unlock()
	switch {
	case err != nil:
		c.inst.cluster.journal.lost(relay)
		return false
	case f == nil:
		return true
	case f.action == actSwallow:
		c.end(endReset)
		return false
	case f.action == actMute, f.mute && len(packets) >= f.packets:
		return true // the turn never comes back
	case f.action == actCut && len(packets) >= f.packets:
		c.end(endClosed)
		return false
	}
	c.turn <- struct{}{}
	return true
}

// refuseLocally answers a command with an error.
func (c *conn) refuseLocally(s Statement, e *wire.Error) bool {
	return c.run(&job{Statement: s, failure: e})
}

func readOnlyError() *wire.Error {
	return &wire.Error{
		Number: 1290, State: "HY000",
		Message: "The MySQL server is running with the --read-only option so it cannot execute this statement",
	}
}

// storageError is what an Aurora reader says to CREATE TEMPORARY TABLE.
func storageError() *wire.Error {
	return &wire.Error{Number: 3161, State: "HY000", Message: "Storage engine InnoDB is disabled (Table creation is disallowed)."}
}

func unknownThread(id uint32) *wire.Error {
	return &wire.Error{Number: 1094, State: "HY000", Message: "Unknown thread id: " + str(int64(id))}
}
