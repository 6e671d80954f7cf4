package wire_test

import (
	"bytes"
	"testing"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// FuzzParse feeds every parser with anything: none may panic, and what parses as
// a message must survive being built and parsed again.
func FuzzParse(f *testing.F) {
	columns := []wire.Column{{Type: wire.TypeLong}, {Type: wire.TypeDateTime}, {Type: wire.TypeTime}, {Type: wire.TypeString}}
	f.Add(wire.Greeting{Version: "8", Scramble: scramble, Capabilities: allCaps, Plugin: "p"}.Append(nil))
	f.Add(wire.Handshake{SSLRequest: wire.SSLRequest{Capabilities: allCaps}, User: "u", Attributes: []wire.Attribute{{Name: "a", Value: "b"}}}.Append(nil))
	f.Add(wire.OK{Status: wire.StatusSessionStateChanged, Track: []wire.Track{{Type: 1, Value: "x"}}}.Append(nil, allCaps))
	f.Add((&wire.Error{Number: 1, Message: "m"}).Append(nil))
	f.Add(wire.Column{Name: "c"}.Append(nil))
	if row, err := wire.AppendBinaryRow(nil, columns, []any{1, moment, "01:00:00", "x"}); err == nil {
		f.Add(row)
	}
	if e, err := wire.AppendExecute(nil, 1, []any{1, "x", nil}); err == nil {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if g, err := wire.ParseGreeting(p); err == nil {
			again, err := wire.ParseGreeting(g.Append(nil))
			equal(t, again, err, g)
		}
		if h, err := wire.ParseHandshake(p); err == nil && len(h.Auth) < 256 {
			again, err := wire.ParseHandshake(h.Append(nil))
			if err != nil || again.User != h.User || !bytes.Equal(again.Auth, h.Auth) || again.Database != h.Database {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		if c, err := wire.ParseColumn(p); err == nil && c.Charset != 0 {
			again, err := wire.ParseColumn(c.Append(nil))
			equal(t, again, err, c)
		}
		for _, caps := range []wire.Capability{allCaps, wire.ClientProtocol41} {
			if o, err := wire.ParseOK(p, caps); err == nil {
				if _, err := wire.ParseOK(o.Append(nil, caps), caps); err != nil {
					t.Errorf("%+v: %v", o, err)
				}
			}
			_ = wire.SetStatus(bytes.Clone(p), caps, 1, 2)
			for _, c := range []wire.Command{wire.ComQuery, wire.ComStmtPrepare, wire.ComStmtExecute, wire.ComChangeUser, wire.ComFieldList} {
				r := wire.NewResponse(c, caps)
				for !r.Done() {
					if k, err := r.Next(p); err != nil || k == wire.KindRow || k == wire.KindColumn || k == wire.KindAuth || r.Results() > 2 {
						break
					}
				}
			}
		}
		_, _ = wire.ParseError(p)
		_, _ = wire.ParseEOF(p)
		_, _ = wire.ParseAuthSwitch(p)
		_, _ = wire.ParseAuthMore(p)
		_, _ = wire.ParseSSLRequest(p)
		_, _ = wire.ParsePrepareOK(p)
		_, _ = wire.ParseLongData(p)
		_, _ = wire.ParseExecute(p, 3, nil, map[uint16][]byte{1: {1}})
		_, _ = wire.ParseTextRow(p, 4)
		_, _ = wire.ParseBinaryRow(p, columns)
		_, _ = wire.ReadPacket(bytes.NewReader(p), 1<<20)
		if r, err := wire.ParseCommand(p); err == nil {
			_, _ = r.Text(), r.ID()
		}
	})
}
