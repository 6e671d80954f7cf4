package fakemysql_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// rawClient speaks the protocol by hand, for what the driver does not ask or show.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	caps wire.Capability
}

// dialRaw logs in with caps, as far as the server offers them.
func dialRaw(t *testing.T, s *fakemysql.Server, caps wire.Capability) *rawClient {
	t.Helper()
	conn, err := s.Dial(t.Context(), "pipe", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &rawClient{t: t, conn: conn}
	greeting, err := wire.ParseGreeting(c.read())
	if err != nil {
		t.Fatal(err)
	}
	c.caps = caps & greeting.Capabilities
	hello := wire.Handshake{SSLRequest: wire.SSLRequest{Capabilities: c.caps}, User: "app", Plugin: greeting.Plugin}
	c.write(1, hello.Append(nil))
	if ok, err := wire.ParseOK(c.read(), c.caps); err != nil || ok.Status != wire.StatusAutocommit {
		t.Fatalf("login: %+v, %v", ok, err)
	}
	return c
}

func (c *rawClient) read() []byte {
	c.t.Helper()
	p, err := wire.ReadPacket(c.conn, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Payload
}

func (c *rawClient) write(seq byte, payload []byte) {
	c.t.Helper()
	if err := wire.WritePacket(c.conn, wire.Packet{Seq: seq, Payload: payload}); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a command and gives the packets of its answer.
func (c *rawClient) ask(command wire.Command, data string) (kinds []wire.Kind, packets [][]byte) {
	c.t.Helper()
	c.write(0, wire.Request{Command: command, Data: []byte(data)}.Append(nil))
	r := wire.NewResponse(command, c.caps)
	for seq := byte(1); !r.Done(); seq++ {
		p, err := wire.ReadPacket(c.conn, 0)
		if err != nil {
			c.t.Fatal(err)
		}
		if p.Seq != seq {
			c.t.Errorf("packet with sequence id %d, want %d", p.Seq, seq)
		}
		k, err := r.Next(p.Payload)
		if err != nil {
			c.t.Fatal(err)
		}
		kinds = append(kinds, k)
		packets = append(packets, p.Payload)
	}
	return kinds, packets
}

// last is the OK that is, or ends, the answer to a command.
func (c *rawClient) last(command wire.Command, data string) wire.OK {
	c.t.Helper()
	kinds, packets := c.ask(command, data)
	parse := wire.ParseOK
	if kinds[len(kinds)-1] == wire.KindRowsEnd {
		parse = wire.ParseEnd
	}
	ok, err := parse(packets[len(packets)-1], c.caps)
	if err != nil {
		c.t.Fatalf("%v %q: %v: %v", command, data, kinds, err)
	}
	return ok
}

func (c *rawClient) wantError(command wire.Command, data string, number uint16) {
	c.t.Helper()
	_, packets := c.ask(command, data)
	if e, err := wire.ParseError(packets[0]); err != nil || e.Number != number {
		c.t.Errorf("%v %q: %v, %v, want %d", command, data, e, err, number)
	}
}

func TestStatusFlags(t *testing.T) {
	script := fakemysql.NewScript().
		On("SELECT flags", fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Status: wire.StatusNoBackslashEscapes | wire.StatusInTransReadonly})
	s := serve(t, fakemysql.Config{Handler: script})
	c := dialRaw(t, s, wire.DefaultCapabilities)
	const auto, trans = wire.StatusAutocommit, wire.StatusInTrans
	for _, tc := range []struct {
		command wire.Command
		data    string
		want    uint16
	}{
		{wire.ComQuery, "SELECT 1", auto},
		{wire.ComQuery, "BEGIN", auto | trans},
		{wire.ComQuery, "SELECT 1", auto | trans},
		{wire.ComPing, "", auto | trans},
		{wire.ComQuery, "SELECT flags", trans | wire.StatusNoBackslashEscapes | wire.StatusInTransReadonly},
		{wire.ComQuery, "ROLLBACK TO s", auto | trans},
		{wire.ComInitDB, "shop", auto | trans},
		{wire.ComQuery, "commit;", auto},
		{wire.ComQuery, "SET autocommit = 0", 0},
		{wire.ComQuery, "START  TRANSACTION READ ONLY", trans},
		{wire.ComResetConnection, "", auto},
		{wire.ComQuery, "BEGIN", auto | trans},
		{wire.ComQuery, "SET SESSION autocommit=1", auto},
		{wire.ComSetOption, "\x00\x00", auto},
		{wire.ComDebug, "", auto},
	} {
		if got := c.last(tc.command, tc.data); got.Status != tc.want {
			t.Errorf("%v %q: status %#x, want %#x", tc.command, tc.data, got.Status, tc.want)
		}
	}
}

func TestSessionTrack(t *testing.T) {
	tracks := []fakemysql.Track{
		{Type: wire.TrackSystemVariable, Name: "time_zone", Value: "+00:00"},
		{Type: wire.TrackStateChange, Value: "1"},
	}
	script := fakemysql.NewScript().
		On("SET time_zone = '+00:00'", fakemysql.Result{Track: tracks, Info: "info"}).
		On("SELECT f()", fakemysql.Result{Columns: []fakemysql.Column{fakemysql.Int("n")}, Rows: [][]any{{1}}, Track: tracks}).
		On("CALL quiet()", fakemysql.Result{Status: wire.StatusSessionStateChanged})
	s := serve(t, fakemysql.Config{Handler: script})
	listens := dialRaw(t, s, wire.DefaultCapabilities)
	deaf := dialRaw(t, s, wire.DefaultCapabilities&^wire.ClientSessionTrack)
	old := dialRaw(t, s, wire.DefaultCapabilities&^wire.ClientDeprecateEOF)
	for _, sql := range []string{"SET time_zone = '+00:00'", "SELECT f()"} {
		if ok := listens.last(wire.ComQuery, sql); !reflect.DeepEqual(ok.Track, tracks) || ok.Status&wire.StatusSessionStateChanged == 0 {
			t.Errorf("%s: %+v", sql, ok)
		}
		if ok := deaf.last(wire.ComQuery, sql); ok.Track != nil || ok.Status != wire.StatusAutocommit {
			t.Errorf("%s, to a client that does not track sessions: %+v", sql, ok)
		}
	}
	if ok := old.last(wire.ComQuery, "SELECT f()"); ok.Status != wire.StatusAutocommit {
		t.Errorf("an EOF cannot say that state changed: %+v", ok)
	}
	if ok := listens.last(wire.ComQuery, "CALL quiet()"); ok.Status != wire.StatusSessionStateChanged || ok.Track != nil {
		t.Errorf("the flag alone: %+v", ok)
	}
}

// Every kind of answer is followed to its end by wire.Response, in both modes.
func TestAnswersCanBeFollowed(t *testing.T) {
	column := []fakemysql.Column{fakemysql.Int("n")}
	script := fakemysql.NewScript().
		On("CALL p()", fakemysql.Result{Columns: column, Rows: [][]any{{1}}}, fakemysql.Result{}).
		On("SELECT ? + ?", fakemysql.Result{Columns: column, Rows: [][]any{{1}, {nil}}})
	s := serve(t, fakemysql.Config{Handler: script})
	const ok, count, col, row, end = wire.KindOK, wire.KindColumnCount, wire.KindColumn, wire.KindRow, wire.KindRowsEnd
	const prep, param, eof = wire.KindPrepareOK, wire.KindParam, wire.KindColumnsEnd
	execute, err := wire.AppendExecute(nil, 1, []any{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	modes := []wire.Capability{wire.DefaultCapabilities, wire.DefaultCapabilities &^ wire.ClientDeprecateEOF}
	for mode, caps := range modes {
		c := dialRaw(t, s, caps)
		for _, tc := range []struct {
			command wire.Command
			data    string
			want    [2][]wire.Kind // by mode
		}{
			{wire.ComQuery, "CALL p()", [2][]wire.Kind{{count, col, row, end, ok}, {count, col, eof, row, end, ok}}},
			{wire.ComStmtPrepare, "SELECT ? + ?", [2][]wire.Kind{{prep, param, param, col}, {prep, param, param, eof, col, eof}}},
			{wire.ComStmtExecute, string(execute[1:]), [2][]wire.Kind{{count, col, row, row, end}, {count, col, eof, row, row, end}}},
			{wire.ComStmtReset, "\x01\x00\x00\x00", [2][]wire.Kind{{ok}, {ok}}},
			{wire.ComStmtClose, "\x01\x00\x00\x00", [2][]wire.Kind{}},
			{wire.ComStatistics, "", [2][]wire.Kind{{wire.KindText}, {wire.KindText}}},
			{wire.ComStmtExecute, string(execute[1:]), [2][]wire.Kind{{wire.KindErr}, {wire.KindErr}}},
		} {
			if got, _ := c.ask(tc.command, tc.data); !slices.Equal(got, tc.want[mode]) {
				t.Errorf("%v: %v, want %v", tc.command, got, tc.want[mode])
			}
		}
	}
}

func TestCommandErrors(t *testing.T) {
	s := serve(t, fakemysql.Config{Databases: []string{"shop"}, Handler: fakemysql.NewScript().On("DO ?")})
	c := dialRaw(t, s, wire.DefaultCapabilities)
	id := func(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
	c.wantError(wire.ComInitDB, "attic", 1049)
	c.wantError(wire.ComStmtExecute, id(9)+"\x00\x01\x00\x00\x00", 1243)
	c.wantError(wire.ComStmtReset, id(9), 1243)
	c.wantError(wire.ComProcessKill, id(99), 1094)
	c.wantError(wire.ComSetOption, "\x07\x00", 1047)
	c.wantError(wire.ComChangeUser, "app", 1047)
	c.wantError(wire.ComFieldList, "t", 1047)
	c.wantError(wire.ComBinlogDump, "", 1047)

	_, packets := c.ask(wire.ComStmtPrepare, "DO ?")
	p, err := wire.ParsePrepareOK(packets[0])
	if err != nil {
		t.Fatal(err)
	}
	c.wantError(wire.ComStmtExecute, id(p.ID)+"\x00\x01\x00\x00\x00", 1835) // no parameters
	c.write(0, wire.LongData{ID: p.ID, Param: 7, Data: []byte("x")}.Append(nil))
	execute, err := wire.AppendExecute(nil, p.ID, []any{1})
	if err != nil {
		t.Fatal(err)
	}
	c.wantError(wire.ComStmtExecute, string(execute[1:]), 1210)
	c.last(wire.ComStmtReset, id(p.ID))
	c.last(wire.ComStmtExecute, string(execute[1:]))
	c.last(wire.ComResetConnection, "")
	c.wantError(wire.ComStmtExecute, string(execute[1:]), 1243) // they went with the reset
}

func TestGreeting(t *testing.T) {
	for _, caps := range []wire.Capability{0, wire.ClientCompress | wire.ClientPluginAuth} {
		s := serve(t, fakemysql.Config{Version: "9.7.0", AuthPlugin: wire.CachingSHA2Password, Capabilities: caps})
		g, err := wire.ParseGreeting(firstPacket(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if g.Version != "9.7.0" || g.Plugin != wire.CachingSHA2Password || g.ConnectionID != 1 || bytes.ContainsRune(g.Scramble, 0) {
			t.Errorf("%+v", g)
		}
		if g.Capabilities&(wire.Unfollowed|wire.ClientSSL) != 0 || !g.Capabilities.Has(wire.ClientMySQL) || g.Extended != 0 {
			t.Errorf("capabilities %#x, extended %#x", g.Capabilities, g.Extended)
		}
		if caps == 0 && !g.Capabilities.Has(wire.ClientSessionTrack) {
			t.Error("session tracking is not offered")
		}
	}
}

func TestNonsenseEndsTheConnection(t *testing.T) {
	s := serve(t, fakemysql.Config{})
	conn, err := s.Dial(t.Context(), "pipe", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := &rawClient{t: t, conn: conn}
	c.read()
	c.write(1, []byte("GET / HTTP/1.1"))
	if e, err := wire.ParseError(c.read()); err != nil || e.Number != 1043 {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := wire.ReadPacket(conn, 0); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want a closed connection", err)
	}

	in := dialRaw(t, s, wire.DefaultCapabilities)
	in.write(0, nil)
	if _, err := wire.ReadPacket(in.conn, 0); !errors.Is(err, io.EOF) {
		t.Errorf("error %v after an empty packet", err)
	}
	in = dialRaw(t, s, wire.DefaultCapabilities)
	in.write(0, wire.Request{Command: wire.ComQuit}.Append(nil))
	if _, err := wire.ReadPacket(in.conn, 0); !errors.Is(err, io.EOF) {
		t.Errorf("error %v after COM_QUIT", err)
	}
}
