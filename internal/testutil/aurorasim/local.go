package aurorasim

import (
	"errors"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// firstLocal is the first number of statements that are prepared here. Servers count
// from 1 for each connection and do not come so far.
const firstLocal = 0x7f000000

// answerQuery answers a question about the cluster over a literal upstream. False
// means that the upstream gets it, with literals put in.
func (c *conn) answerQuery(j *job) bool {
	if j.executed != nil && j.executed.query == nil {
		return false
	}
	view := c.inst.relationRows(j.text.deployment.relationIn(j.text.lex())) // before now: no row is newer than the clock
	q, err := parseQuery(j.text, scope{vars: c.inst.variables(), session: c.sessionValues(), now: time.Now()})
	var refused *wire.Error
	switch {
	case errors.As(err, &refused):
		j.failure = refused
		return true
	case err != nil && j.text.mentions().view:
		j.failure = &wire.Error{Number: 1235, State: "42000", Message: err.Error()}
		return true
	case err != nil:
		return false
	}
	columns, rows := q.run(view, j.Args)
	if j.prepared != nil {
		c.prepareHere(j, q, columns)
		return true
	}
	j.local, err = c.resultSet(columns, rows, j.executed != nil)
	if err != nil {
		j.failure = &wire.Error{Number: 1105, Message: err.Error()}
	}
	return true
}

// sessionValues are the functions about the session that the evaluator knows.
func (c *conn) sessionValues() map[string]any {
	return map[string]any{
		"CONNECTION_ID": int64(c.id),
		"USER":          c.user + "@" + c.host,
		"CURRENT_USER":  c.user + "@%",
	}
}

// prepareHere makes the answer to a COM_STMT_PREPARE.
func (c *conn) prepareHere(j *job, q *query, columns []wire.Column) {
	c.locals++
	id := firstLocal + c.locals
	j.prepared.query, j.prepared.upstream, j.prepared.params = q, id, q.params
	c.statements[id] = j.prepared
	j.local = [][]byte{wire.PrepareOK{ID: id, Columns: uint16(len(columns)), Params: uint16(q.params)}.Append(nil)}
	for range q.params {
		j.local = append(j.local, wire.Column{Name: "?", Type: wire.TypeVarString}.Append(nil))
	}
	if q.params > 0 {
		j.local = c.definitionsEnd(j.local)
	}
	j.local = c.definitionsEnd(appendColumns(j.local, columns))
}

// definitionsEnd appends the EOF behind definitions, for clients that want one.
func (c *conn) definitionsEnd(packets [][]byte) [][]byte {
	if c.caps.Has(wire.ClientDeprecateEOF) {
		return packets
	}
	return append(packets, wire.EOF{Status: c.localStatus()}.Append(nil))
}

func appendColumns(packets [][]byte, columns []wire.Column) [][]byte {
	for _, column := range columns {
		packets = append(packets, column.Append(nil))
	}
	return packets
}

// resultSet makes the packets of a result.
func (c *conn) resultSet(columns []wire.Column, rows [][]any, binary bool) ([][]byte, error) {
	packets := [][]byte{wire.AppendColumnCount(nil, len(columns))}
	packets = c.definitionsEnd(appendColumns(packets, columns))
	encode := wire.AppendTextRow
	if binary {
		encode = wire.AppendBinaryRow
	}
	for _, row := range rows {
		packet, err := encode(nil, columns, row)
		if err != nil {
			return nil, err
		}
		packets = append(packets, packet)
	}
	return append(packets, wire.AppendEnd(nil, wire.OK{Status: c.localStatus()}, c.caps)), nil
}

// localStatus are the session's flags for an answer of the instance's own.
func (c *conn) localStatus() uint16 {
	return c.status & (wire.StatusInTrans | wire.StatusAutocommit | wire.StatusNoBackslashEscapes | wire.StatusInTransReadonly)
}

// okAnswer is the answer to a command about a statement that is only known here.
func okAnswer(c *conn) [][]byte {
	return [][]byte{wire.OK{Status: c.localStatus()}.Append(nil, c.caps)}
}
