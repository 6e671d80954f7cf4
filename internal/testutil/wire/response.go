package wire

import (
	"encoding/binary"
	"fmt"
)

// First bytes of the server's packets.
const (
	headerOK     = 0x00
	headerInfile = 0xfb
	headerEOF    = 0xfe
	headerErr    = 0xff
)

// Kind is what a packet of a server's answer is.
type Kind byte

// The kinds, in the order in which an answer has them.
const (
	KindOK          Kind = iota + 1 // an OK that is a whole result
	KindErr                         // ends the answer, wherever it comes
	KindInfile                      // asks for a file; the client sends, see Response.ClientSends
	KindColumnCount                 // begins a result set
	KindPrepareOK                   // begins a prepare answer
	KindParam                       // a parameter's definition, in prepare answers
	KindColumn                      // a column's definition
	KindColumnsEnd                  // the EOF behind definitions; none with ClientDeprecateEOF
	KindRow                         // text or binary
	KindRowsEnd                     // the EOF or OK that ends a result set
	KindText                        // the bare text of a COM_STATISTICS
	KindAuth                        // within a COM_CHANGE_USER; the client answers each but {1, SHA2FastSuccess}
)

var kindNames = [...]string{
	"", "OK", "ERR", "INFILE", "column count", "prepare OK", "param",
	"column", "columns end", "row", "rows end", "text", "auth",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Response follows a server's answer to one command, packet by packet, up to its
// end. It is pure: it reads nothing and keeps no packet. Make one per command
// with NewResponse.
type Response struct {
	caps    Capability
	command Command
	state   responseState
	binary  bool // rows are in the binary format
	results int
	columns int    // of the result set at hand
	params  uint16 // definitions still to come
	defs    uint16 // the same, of columns
	status  uint16
}

type responseState byte

const (
	stateFirst    responseState = iota // an answer or a result begins
	stateInfile                        // the client sends a file, then OK or ERR comes
	stateParams                        // definitions of parameters
	stateColumns                       // definitions of columns
	stateParamEnd                      // the EOF after parameters
	stateDefsEnd                       // the EOF after columns
	stateRows
	stateDone
)

// NewResponse is for the answer to a command between sides that agreed on caps.
// For a command that is not answered it is done from the start.
func NewResponse(command Command, caps Capability) *Response {
	r := &Response{caps: caps, command: command, binary: command == ComStmtExecute || command == ComStmtFetch}
	switch {
	case !command.Answered():
		r.state = stateDone
	case command == ComStmtFetch:
		r.state = stateRows
	case command == ComFieldList:
		r.state = stateColumns
	}
	return r
}

// Done tells whether the answer is complete.
func (r *Response) Done() bool { return r.state == stateDone }

// ClientSends tells whether it is the client's turn: packets with a file's
// contents, then an empty one. Then the server goes on. Always false once the
// server has answered.
func (r *Response) ClientSends() bool { return r.state == stateInfile }

// Binary tells whether rows of this answer are in the binary format.
func (r *Response) Binary() bool { return r.binary }

// Columns is the number of columns of the result set at hand.
func (r *Response) Columns() int { return r.columns }

// Results is the number of results that were complete before the packet that
// Next saw last: 0 within the first one.
func (r *Response) Results() int { return r.results }

// Status is the server's status flags as the newest OK or EOF had them; 0 before
// the first.
func (r *Response) Status() uint16 { return r.status }

// Next says what the server's next packet is and moves on. After an error, or
// when Done, the connection cannot be followed any more.
func (r *Response) Next(payload []byte) (Kind, error) {
	if r.state == stateDone {
		return 0, r.malformed("a packet after its end")
	}
	if len(payload) == 0 {
		return 0, r.malformed("an empty packet")
	}
	if payload[0] == headerErr && !r.plainText() {
		r.state = stateDone
		return KindErr, nil
	}
	switch r.state {
	case stateFirst, stateInfile:
		return r.first(payload)
	case stateParams, stateColumns:
		return r.definition(payload)
	case stateParamEnd, stateDefsEnd:
		return r.definitionsEnd(payload)
	default:
		return r.row(payload)
	}
}

func (r *Response) plainText() bool { return r.command == ComStatistics }

func (r *Response) malformed(why string) error {
	return fmt.Errorf("%w: answer to %v: %s", ErrMalformed, r.command, why)
}

func (r *Response) first(payload []byte) (Kind, error) {
	switch {
	case r.plainText():
		r.state = stateDone
		return KindText, nil
	case r.command == ComChangeUser && payload[0] != headerOK:
		return KindAuth, nil
	case r.command == ComStmtPrepare:
		return r.prepareOK(payload)
	case payload[0] == headerOK:
		return r.ok(KindOK, payload)
	case payload[0] == headerEOF: // COM_SET_OPTION, COM_DEBUG
		return r.end(KindOK, payload)
	case payload[0] == headerInfile && r.state == stateFirst:
		r.state = stateInfile
		return KindInfile, nil
	}
	n, err := ParseColumnCount(payload)
	if err != nil {
		return 0, err
	}
	r.columns = n
	r.state, r.defs = stateColumns, uint16(n)
	return KindColumnCount, nil
}

func (r *Response) prepareOK(payload []byte) (Kind, error) {
	p, err := ParsePrepareOK(payload)
	if err != nil {
		return 0, err
	}
	r.columns = int(p.Columns)
	r.params, r.defs = p.Params, p.Columns
	r.state = r.afterParams()
	if r.params > 0 {
		r.state = stateParams
	}
	return KindPrepareOK, nil
}

// afterParams is where a prepare answer goes on behind the parameters.
func (r *Response) afterParams() responseState {
	if r.defs > 0 {
		return stateColumns
	}
	return stateDone
}

// afterColumns is where an answer goes on behind the columns.
func (r *Response) afterColumns() responseState {
	if r.command == ComStmtPrepare {
		return stateDone
	}
	return stateRows
}

func (r *Response) definition(payload []byte) (Kind, error) {
	if r.command == ComFieldList {
		if payload[0] == headerEOF {
			return r.end(KindRowsEnd, payload)
		}
		return KindColumn, nil
	}
	eof := !r.caps.Has(ClientDeprecateEOF)
	if r.state == stateParams {
		if r.params--; r.params == 0 {
			r.state = r.afterParams()
			if eof {
				r.state = stateParamEnd
			}
		}
		return KindParam, nil
	}
	if r.defs--; r.defs == 0 {
		r.state = r.afterColumns()
		if eof {
			r.state = stateDefsEnd
		}
	}
	return KindColumn, nil
}

func (r *Response) definitionsEnd(payload []byte) (Kind, error) {
	e, err := ParseEOF(payload)
	if err != nil {
		return 0, err
	}
	r.status = e.Status
	switch {
	case r.state == stateParamEnd:
		r.state = r.afterParams()
	case e.Status&StatusCursorExists != 0:
		r.state = stateDone // rows come with COM_STMT_FETCH
	default:
		r.state = r.afterColumns()
	}
	return KindColumnsEnd, nil
}

func (r *Response) row(payload []byte) (Kind, error) {
	// A row of the text protocol may begin with 0xfe, too: the length of a
	// value that is longer than a frame. Then so is the packet.
	if payload[0] == headerEOF && len(payload) < MaxPayload {
		return r.end(KindRowsEnd, payload)
	}
	if r.binary && payload[0] != headerOK {
		return 0, r.malformed("a binary row that is none")
	}
	return KindRow, nil
}

// end takes a packet that begins with 0xfe: an EOF, or an OK in its place.
func (r *Response) end(kind Kind, payload []byte) (Kind, error) {
	if okInPlaceOfEOF(payload, r.caps) {
		return r.ok(kind, payload)
	}
	return r.eof(kind, payload)
}

func okInPlaceOfEOF(payload []byte, caps Capability) bool {
	return caps.Has(ClientDeprecateEOF) && len(payload) >= 7 // the shortest OK
}

func (r *Response) ok(kind Kind, payload []byte) (Kind, error) {
	status, err := okStatus(payload)
	if err != nil {
		return 0, err
	}
	return r.finish(kind, status), nil
}

func (r *Response) eof(kind Kind, payload []byte) (Kind, error) {
	e, err := ParseEOF(payload)
	if err != nil {
		return 0, err
	}
	return r.finish(kind, e.Status), nil
}

// finish ends one result.
func (r *Response) finish(kind Kind, status uint16) Kind {
	r.status = status
	r.state = stateDone
	if status&StatusMoreResults != 0 {
		r.state = stateFirst
		r.results++
	}
	return kind
}

// okStatus is the status flags of an OK, without parsing the rest.
func okStatus(payload []byte) (uint16, error) {
	d := newDecoder("OK", payload)
	d.uint8()
	d.lenInt()
	d.lenInt()
	return d.uint16(), d.err
}

// SetStatus rewrites the status flags of an OK or an end-of-rows in place: bits
// of set are set, those of clear are cleared. A relay needs it.
func SetStatus(payload []byte, caps Capability, set, clear uint16) error {
	d := newDecoder("OK", payload)
	if h := d.uint8(); h == headerEOF && !okInPlaceOfEOF(payload, caps) {
		d.uint16() // warnings
	} else {
		d.lenInt()
		d.lenInt()
	}
	at := len(payload) - len(d.rest)
	status := d.uint16()
	if d.err != nil {
		return d.err
	}
	binary.LittleEndian.PutUint16(payload[at:], status&^clear|set)
	return nil
}

// AppendInfile appends the server's request for the contents of a client's file
// (LOAD DATA LOCAL INFILE).
func AppendInfile(dst []byte, name string) []byte {
	return append(append(dst, headerInfile), name...)
}
