package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

const allCaps = wire.DefaultCapabilities | wire.ClientSSL

// scramble is 20 bytes without a zero.
var scramble = []byte("abcdefghij0123456789")

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// equal fails unless the parsed value is the built one.
func equal[T any](t *testing.T, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Errorf("parse: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestGreetingRoundTrip(t *testing.T) {
	g := wire.Greeting{
		Version: "8.0.39", ConnectionID: 0xfffffffe, Scramble: scramble,
		Capabilities: allCaps, Charset: 45, Status: wire.StatusAutocommit, Plugin: wire.CachingSHA2Password,
	}
	got, err := wire.ParseGreeting(g.Append(nil))
	equal(t, got, err, g)

	g.Capabilities &^= wire.ClientMySQL
	g.Extended = 0x1f
	got, err = wire.ParseGreeting(g.Append(nil))
	equal(t, got, err, g)

	g.Capabilities |= wire.ClientMySQL
	got, err = wire.ParseGreeting(g.Append(nil))
	if err != nil || got.Extended != 0 {
		t.Errorf("extended capabilities %#x beside CLIENT_MYSQL, %v: only MariaDB has them", got.Extended, err)
	}
}

func TestHandshakeRoundTrip(t *testing.T) {
	full := wire.Handshake{
		SSLRequest: wire.SSLRequest{Capabilities: allCaps, MaxPacket: 1 << 24, Charset: 45},
		User:       "app", Auth: bytes.Repeat([]byte{7}, 32), Database: "shop", Plugin: wire.CachingSHA2Password,
		Attributes: []wire.Attribute{{Name: "_client_name", Value: "Go-MySQL-Driver"}, {Name: "program_name", Value: strings.Repeat("x", 300)}},
	}
	got, err := wire.ParseHandshake(full.Append(nil))
	equal(t, got, err, full)

	short := full
	short.Capabilities = wire.ClientProtocol41 | wire.ClientSecureConnection | wire.ClientMySQL
	short.Database, short.Plugin, short.Attributes = "", "", nil
	got, err = wire.ParseHandshake(short.Append(nil))
	equal(t, got, err, short)

	mariadb := full
	mariadb.Capabilities &^= wire.ClientMySQL
	mariadb.Extended = 4
	got, err = wire.ParseHandshake(mariadb.Append(nil))
	equal(t, got, err, mariadb)

	if wire.IsSSLRequest(full.Append(nil)) {
		t.Error("a whole handshake response counts as SSLRequest")
	}
	if !wire.IsSSLRequest(full.SSLRequest.Append(nil)) {
		t.Error("SSLRequest not recognized")
	}
	req, err := wire.ParseSSLRequest(full.SSLRequest.Append(nil))
	equal(t, req, err, full.SSLRequest)
}

func TestOldClientIsRefused(t *testing.T) {
	h := wire.Handshake{SSLRequest: wire.SSLRequest{Capabilities: wire.ClientMySQL}}
	if _, err := wire.ParseHandshake(h.Append(nil)); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("error %v", err)
	}
}

func TestAuthRoundTrip(t *testing.T) {
	a := wire.AuthSwitch{Plugin: wire.NativePassword, Scramble: scramble}
	got, err := wire.ParseAuthSwitch(a.Append(nil))
	equal(t, got, err, a)
	more, err := wire.ParseAuthMore(wire.AppendAuthMore(nil, []byte{wire.SHA2FullAuth}))
	equal(t, more, err, []byte{wire.SHA2FullAuth})
}

func TestOKRoundTrip(t *testing.T) {
	ok := wire.OK{
		Affected: 1 << 20, InsertID: 1 << 40, Status: wire.StatusAutocommit, Warnings: 3, Info: "Rows matched: 1",
		Track: []wire.Track{
			{Type: wire.TrackSystemVariable, Name: "autocommit", Value: "OFF"},
			{Type: wire.TrackSchema, Value: "shop"},
			{Type: wire.TrackStateChange, Value: "1"},
			{Type: wire.TrackGTIDs, Value: "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5"},
			{Type: wire.TrackCharacteristics, Value: "START TRANSACTION READ ONLY;"},
			{Type: wire.TrackTransaction, Value: "T_______"},
		},
	}
	sent := ok
	sent.Status |= wire.StatusSessionStateChanged
	got, err := wire.ParseOK(ok.Append(nil, allCaps), allCaps)
	equal(t, got, err, sent)

	sent.End = true
	got, err = wire.ParseEnd(wire.AppendEnd(nil, ok, allCaps), allCaps)
	equal(t, got, err, sent)

	// A client that does not track sessions hears nothing of them.
	deaf := allCaps &^ wire.ClientSessionTrack
	want := ok
	want.Track = nil
	ok.Status |= wire.StatusSessionStateChanged
	got, err = wire.ParseOK(ok.Append(nil, deaf), deaf)
	equal(t, got, err, want)
}

// MariaDB sends all variables in one entry.
func TestTracksOfMariaDB(t *testing.T) {
	var pairs []byte
	for _, s := range []string{"time_zone", "+00:00", "autocommit", "ON"} {
		pairs = wire.AppendLenString(pairs, s)
	}
	all := wire.AppendLenString([]byte{wire.TrackSystemVariable}, pairs)
	payload := append([]byte{0, 0, 0, 0x02, 0x40, 0, 0, 0}, wire.AppendLenString(nil, all)...)
	got, err := wire.ParseOK(payload, allCaps)
	if err != nil || len(got.Track) != 2 || got.Track[1] != (wire.Track{Type: 0, Name: "autocommit", Value: "ON"}) {
		t.Errorf("%+v, %v", got.Track, err)
	}
}

func TestEOFRoundTrip(t *testing.T) {
	old := allCaps &^ wire.ClientDeprecateEOF
	payload := wire.AppendEnd(nil, wire.OK{Warnings: 2, Status: wire.StatusMoreResults}, old)
	if len(payload) != 5 {
		t.Errorf("an EOF of %d bytes", len(payload))
	}
	got, err := wire.ParseEnd(payload, old)
	equal(t, got, err, wire.OK{End: true, Warnings: 2, Status: wire.StatusMoreResults})
}

func TestErrorRoundTrip(t *testing.T) {
	e := &wire.Error{Number: 1290, State: "HY000", Message: "read-only"}
	got, err := wire.ParseError(e.Append(nil))
	equal(t, got, err, e)
	if want := "Error 1290 (HY000): read-only"; e.Error() != want {
		t.Errorf("text %q, want %q", e.Error(), want)
	}
	bare := &wire.Error{Number: 1040, Message: "Too many connections"}
	payload := bare.AppendBare(nil)
	if bytes.ContainsRune(payload, '#') {
		t.Errorf("a SQLSTATE before the greeting: %q", payload)
	}
	got, err = wire.ParseError(payload)
	equal(t, got, err, bare)
	if !wire.IsError(payload) || wire.IsError([]byte{0}) || wire.IsError(nil) {
		t.Error("IsError is wrong")
	}
}

func TestSetStatus(t *testing.T) {
	for _, caps := range []wire.Capability{allCaps, allCaps &^ wire.ClientDeprecateEOF} {
		payload := wire.AppendEnd(nil, wire.OK{Affected: 1000, Status: wire.StatusInTrans}, caps)
		if err := wire.SetStatus(payload, caps, wire.StatusMoreResults, wire.StatusInTrans); err != nil {
			t.Fatal(err)
		}
		if got, err := wire.ParseEnd(payload, caps); err != nil || got.Status != wire.StatusMoreResults {
			t.Errorf("status %#x, %v", got.Status, err)
		}
	}
	if err := wire.SetStatus([]byte{0}, allCaps, 1, 0); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("error %v for half an OK", err)
	}
}

func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		payload []byte
		command wire.Command
		name    string
		text    string
		id      uint32
	}{
		{append([]byte{3}, "SELECT 1"...), wire.ComQuery, "Query", "SELECT 1", 0},
		{append([]byte{0x16}, "SELECT ?"...), wire.ComStmtPrepare, "Prepare", "SELECT ?", 0},
		{append([]byte{2}, "shop"...), wire.ComInitDB, "Init DB", "shop", 0},
		{[]byte{0x17, 9, 1, 0, 0, 0, 1, 0, 0, 0}, wire.ComStmtExecute, "Execute", "", 265},
		{[]byte{0x19, 9, 1}, wire.ComStmtClose, "Close stmt", "", 0},
		{[]byte{0x0e}, wire.ComPing, "Ping", "", 0},
		{[]byte{0xee}, 0xee, "Command 0xee", "", 0},
	} {
		r, err := wire.ParseCommand(tc.payload)
		if err != nil {
			t.Fatal(err)
		}
		if r.Command != tc.command || r.Command.String() != tc.name || r.Text() != tc.text || r.ID() != tc.id {
			t.Errorf("% x: %v %q %d", tc.payload, r.Command, r.Text(), r.ID())
		}
		if got := r.Append(nil); !bytes.Equal(got, tc.payload) {
			t.Errorf("built % x, want % x", got, tc.payload)
		}
	}
	if _, err := wire.ParseCommand(nil); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("error %v for an empty packet", err)
	}
	if got := wire.AppendIDCommand(nil, wire.ComStmtReset, 265); !bytes.Equal(got, []byte{0x1a, 9, 1, 0, 0}) {
		t.Errorf("% x", got)
	}
}
