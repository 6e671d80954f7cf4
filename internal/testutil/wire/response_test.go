package wire_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// answer builds a server's answer packet by packet.
type answer struct {
	caps    wire.Capability
	packets [][]byte
}

func (a *answer) add(p []byte) *answer { a.packets = append(a.packets, p); return a }
func (a *answer) ok(status uint16) *answer {
	return a.add(wire.OK{Status: status}.Append(nil, a.caps))
}
func (a *answer) err() *answer        { return a.add((&wire.Error{Number: 1064}).Append(nil)) }
func (a *answer) count(n int) *answer { return a.add(wire.AppendColumnCount(nil, n)) }
func (a *answer) end(status uint16) *answer {
	return a.add(wire.AppendEnd(nil, wire.OK{Status: status}, a.caps))
}

// defs adds n definitions, and the EOF that older clients get.
func (a *answer) defs(n int) *answer {
	for range n {
		a.add(wire.Column{Name: "c", Type: wire.TypeLong}.Append(nil))
	}
	if !a.caps.Has(wire.ClientDeprecateEOF) {
		a.add(wire.EOF{Status: wire.StatusAutocommit}.Append(nil))
	}
	return a
}

func (a *answer) prepareOK(params, columns uint16) *answer {
	return a.add(wire.PrepareOK{ID: 1, Params: params, Columns: columns}.Append(nil))
}

// kinds names the kinds; "columns end" is left out of it where there is none.
func kinds(caps wire.Capability, names ...wire.Kind) []wire.Kind {
	if caps.Has(wire.ClientDeprecateEOF) {
		return slices.DeleteFunc(names, func(k wire.Kind) bool { return k == wire.KindColumnsEnd })
	}
	return names
}

const (
	kOK, kErr, kCount, kPrep     = wire.KindOK, wire.KindErr, wire.KindColumnCount, wire.KindPrepareOK
	kParam, kCol, kDefsEnd, kRow = wire.KindParam, wire.KindColumn, wire.KindColumnsEnd, wire.KindRow
	kEnd, kInfile, kText, kAuth  = wire.KindRowsEnd, wire.KindInfile, wire.KindText, wire.KindAuth
)

var (
	textNull  = []byte{0xfb} // a row of one NULL looks like an INFILE request
	textEmpty = []byte{0}    // a row of one empty string looks like an OK
	binRow    = []byte{0, 0, 7, 0, 0, 0}
	hugeRow   = append([]byte{0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0}, make([]byte, wire.MaxPayload)...) // looks like an EOF
)

func TestResponse(t *testing.T) {
	const more = wire.StatusMoreResults
	cases := []struct {
		name    string
		command wire.Command
		build   func(a *answer)
		want    []wire.Kind
		results int
	}{
		{"OK", wire.ComQuery, func(a *answer) { a.ok(0) }, []wire.Kind{kOK}, 0},
		{"ERR", wire.ComQuery, func(a *answer) { a.err() }, []wire.Kind{kErr}, 0},
		{"ping", wire.ComPing, func(a *answer) { a.ok(0) }, []wire.Kind{kOK}, 0},
		{"no rows", wire.ComQuery, func(a *answer) { a.count(2).defs(2).end(0) }, []wire.Kind{kCount, kCol, kCol, kDefsEnd, kEnd}, 0},
		{
			"rows like other packets", wire.ComQuery, func(a *answer) { a.count(1).defs(1).add(textNull).add(textEmpty).add(hugeRow).end(0) },
			[]wire.Kind{kCount, kCol, kDefsEnd, kRow, kRow, kRow, kEnd},
			0,
		},
		{"ERR after rows", wire.ComQuery, func(a *answer) { a.count(1).defs(1).add(textEmpty).err() }, []wire.Kind{kCount, kCol, kDefsEnd, kRow, kErr}, 0},
		{"ERR among columns", wire.ComQuery, func(a *answer) { a.count(1).err() }, []wire.Kind{kCount, kErr}, 0},
		{
			"several results", wire.ComQuery, func(a *answer) { a.ok(more).count(1).defs(1).add(textEmpty).end(more).ok(0) },
			[]wire.Kind{kOK, kCount, kCol, kDefsEnd, kRow, kEnd, kOK},
			2,
		},
		{"ERR as second result", wire.ComQuery, func(a *answer) { a.ok(more).err() }, []wire.Kind{kOK, kErr}, 1},
		{"infile", wire.ComQuery, func(a *answer) { a.add(wire.AppendInfile(nil, "f")).ok(0) }, []wire.Kind{kInfile, kOK}, 0},
		{
			"infile then another", wire.ComQuery, func(a *answer) { a.add(wire.AppendInfile(nil, "f")).ok(more).add(wire.AppendInfile(nil, "g")).err() },
			[]wire.Kind{kInfile, kOK, kInfile, kErr},
			1,
		},
		{
			"binary rows", wire.ComStmtExecute, func(a *answer) { a.count(1).defs(1).add(binRow).add(binRow).end(0) },
			[]wire.Kind{kCount, kCol, kDefsEnd, kRow, kRow, kEnd},
			0,
		},
		{"binary OK", wire.ComStmtExecute, func(a *answer) { a.ok(0) }, []wire.Kind{kOK}, 0},
		{"fetch", wire.ComStmtFetch, func(a *answer) { a.add(binRow).end(wire.StatusCursorExists) }, []wire.Kind{kRow, kEnd}, 0},
		{
			"prepare", wire.ComStmtPrepare, func(a *answer) { a.prepareOK(2, 1).defs(2).defs(1) },
			[]wire.Kind{kPrep, kParam, kParam, kDefsEnd, kCol, kDefsEnd},
			0,
		},
		{"prepare without columns", wire.ComStmtPrepare, func(a *answer) { a.prepareOK(1, 0).defs(1) }, []wire.Kind{kPrep, kParam, kDefsEnd}, 0},
		{"prepare without parameters", wire.ComStmtPrepare, func(a *answer) { a.prepareOK(0, 1).defs(1) }, []wire.Kind{kPrep, kCol, kDefsEnd}, 0},
		{"prepare with nothing", wire.ComStmtPrepare, func(a *answer) { a.prepareOK(0, 0) }, []wire.Kind{kPrep}, 0},
		{"prepare refused", wire.ComStmtPrepare, func(a *answer) { a.err() }, []wire.Kind{kErr}, 0},
		{"set option", wire.ComSetOption, func(a *answer) { a.end(0) }, []wire.Kind{kOK}, 0},
		{"statistics", wire.ComStatistics, func(a *answer) { a.add([]byte("\xffUptime: 1")) }, []wire.Kind{kText}, 0},
		{"field list", wire.ComFieldList, func(a *answer) { a.add([]byte{3, 'd', 'e', 'f'}).end(0) }, []wire.Kind{kCol, kEnd}, 0},
		{"change user", wire.ComChangeUser, func(a *answer) { a.add(wire.AuthSwitch{Plugin: "p"}.Append(nil)).ok(0) }, []wire.Kind{kAuth, kOK}, 0},
	}
	for _, caps := range []wire.Capability{allCaps, allCaps &^ wire.ClientDeprecateEOF} {
		for _, tc := range cases {
			t.Run(fmt.Sprintf("%s/deprecate EOF %v", tc.name, caps.Has(wire.ClientDeprecateEOF)), func(t *testing.T) {
				a := &answer{caps: caps}
				tc.build(a)
				follow(t, wire.NewResponse(tc.command, caps), a.packets, kinds(caps, slices.Clone(tc.want)...), tc.results)
			})
		}
	}
}

func follow(t *testing.T, r *wire.Response, packets [][]byte, want []wire.Kind, results int) {
	t.Helper()
	var got []wire.Kind
	for i, p := range packets {
		if r.Done() {
			t.Fatalf("done before packet %d of %d: %v", i, len(packets), got)
		}
		k, err := r.Next(p)
		if err != nil {
			t.Fatal(err)
		}
		if r.ClientSends() != (k == wire.KindInfile) {
			t.Errorf("client's turn = %v after %v", r.ClientSends(), k)
		}
		got = append(got, k)
	}
	if !r.Done() {
		t.Error("not done at the end")
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
	if r.Results() != results {
		t.Errorf("%d results before the last, want %d", r.Results(), results)
	}
	if _, err := r.Next([]byte{0}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a packet after the end: error %v", err)
	}
}

// Without ClientDeprecateEOF a cursor shows behind the columns, and rows come
// only when they are fetched.
func TestResponseWithCursor(t *testing.T) {
	caps := allCaps &^ wire.ClientDeprecateEOF
	r := wire.NewResponse(wire.ComStmtExecute, caps)
	follow(t, r, [][]byte{
		wire.AppendColumnCount(nil, 1), wire.Column{}.Append(nil), wire.EOF{Status: wire.StatusCursorExists}.Append(nil),
	}, []wire.Kind{kCount, kCol, kDefsEnd}, 0)
}

func TestResponseKnowsFormatAndStatus(t *testing.T) {
	r := wire.NewResponse(wire.ComStmtExecute, allCaps)
	a := (&answer{caps: allCaps}).count(3).defs(3).add(binRow).end(wire.StatusInTrans)
	for _, p := range a.packets {
		if _, err := r.Next(p); err != nil {
			t.Fatal(err)
		}
	}
	if !r.Binary() || r.Columns() != 3 || r.Status() != wire.StatusInTrans {
		t.Errorf("binary %v, %d columns, status %#x", r.Binary(), r.Columns(), r.Status())
	}
	if wire.NewResponse(wire.ComQuery, allCaps).Binary() {
		t.Error("a text answer counts as binary")
	}
}

func TestUnansweredCommands(t *testing.T) {
	for _, c := range []wire.Command{wire.ComQuit, wire.ComStmtClose, wire.ComStmtSendLongData} {
		if !wire.NewResponse(c, allCaps).Done() {
			t.Errorf("%v waits for an answer", c)
		}
	}
}

func TestResponseRefusesNonsense(t *testing.T) {
	old := allCaps &^ wire.ClientDeprecateEOF
	for _, tc := range []struct {
		name    string
		caps    wire.Capability
		command wire.Command
		packets [][]byte
	}{
		{"empty", allCaps, wire.ComQuery, [][]byte{{}}},
		{"half an OK", allCaps, wire.ComQuery, [][]byte{{0, 0}}},
		{"half a prepare answer", allCaps, wire.ComStmtPrepare, [][]byte{{0, 0}}},
		{"5000 columns", allCaps, wire.ComQuery, [][]byte{wire.AppendColumnCount(nil, 5000)}},
		{"no EOF behind columns", old, wire.ComQuery, [][]byte{{1}, {3}, {1, 'a'}}},
		{"text row in a binary answer", allCaps, wire.ComStmtExecute, [][]byte{{1}, {3}, {1, 'a'}}},
	} {
		r := wire.NewResponse(tc.command, tc.caps)
		var err error
		for _, p := range tc.packets {
			_, err = r.Next(p)
		}
		if !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: error %v", tc.name, err)
		}
	}
}
