package wire_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// The packets of this file were captured from MariaDB 10.11.19 and MySQL 9.7.4.
// Each is parsed, and what was parsed must be built into the same bytes.

func TestCapturedGreetings(t *testing.T) {
	for _, tc := range []struct {
		server  string
		payload string
		want    wire.Greeting
	}{
		{
			"MariaDB", `0a 35 2e 35 2e 35 2d 31 30 2e 31 31 2e 31 39 2d 4d 61 72 69 61 44 42 2d 30 2b 64 65 62 31 32 75 31 00
				04 00 00 00 38 6a 2f 47 57 61 63 4e 00 fe f7 08 02 00 ff 81 15 00 00 00 00 00 00 1d 00 00 00
				39 73 5a 46 31 62 79 59 31 2a 7c 57 00
				6d 79 73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00`,
			wire.Greeting{
				Version: "5.5.5-10.11.19-MariaDB-0+deb12u1", ConnectionID: 4, Scramble: []byte("8j/GWacN9sZF1byY1*|W"),
				Capabilities: 0x81fff7fe, Extended: 0x1d, Charset: 8, Status: wire.StatusAutocommit, Plugin: wire.NativePassword,
			},
		},
		{
			"MySQL", `0a 39 2e 37 2e 34 2d 32 00 09 00 00 00 1f 6a 10 5a 79 77 7d 43 00 ff ff ff 02 00 ff df
				15 00 00 00 00 00 00 00 00 00 00 2e 3c 1f 69 7c 2c 0d 1d 10 32 25 2a 00
				63 61 63 68 69 6e 67 5f 73 68 61 32 5f 70 61 73 73 77 6f 72 64 00`,
			wire.Greeting{
				Version: "9.7.4-2", ConnectionID: 9, Scramble: []byte("\x1fj\x10Zyw}C.<\x1fi|,\r\x1d\x102%*"),
				Capabilities: 0xdfffffff, Charset: 255, Status: wire.StatusAutocommit, Plugin: wire.CachingSHA2Password,
			},
		},
	} {
		t.Run(tc.server, func(t *testing.T) {
			payload := mustHex(t, tc.payload)
			g, err := wire.ParseGreeting(payload)
			equal(t, g, err, tc.want)
			if got := g.Append(nil); !bytes.Equal(got, payload) {
				t.Errorf("built % x", got)
			}
		})
	}
}

func TestCapturedOKs(t *testing.T) {
	const changed = wire.StatusAutocommit | wire.StatusSessionStateChanged
	for _, tc := range []struct {
		sql     string
		payload string
		want    wire.OK
	}{
		{
			"MariaDB: SET autocommit=0", `00 00 00 00 40 00 00 00 14 00 0f 0a 61 75 74 6f 63 6f 6d 6d 69 74 03 4f 46 46 02 01 31`,
			wire.OK{Status: wire.StatusSessionStateChanged, Track: []wire.Track{
				{Type: wire.TrackSystemVariable, Name: "autocommit", Value: "OFF"}, {Type: wire.TrackStateChange, Value: "1"},
			}},
		},
		{
			"MySQL: USE shop", `00 00 00 02 40 00 00 00 1c 00 10 0c 73 74 61 74 65 6d 65 6e 74 5f 69 64 02 39 33 01 05 04 73 68 6f 70 02 01 31`,
			wire.OK{Status: changed, Track: []wire.Track{
				{Type: wire.TrackSystemVariable, Name: "statement_id", Value: "93"},
				{Type: wire.TrackSchema, Value: "shop"},
				{Type: wire.TrackStateChange, Value: "1"},
			}},
		},
		{
			"MySQL: BEGIN", `00 00 00 03 40 00 00 00 32 00 10 0c 73 74 61 74 65 6d 65 6e 74 5f 69 64 02 38 37
				05 09 08 54 5f 5f 5f 5f 5f 5f 5f 04 13 12 53 54 41 52 54 20 54 52 41 4e 53 41 43 54 49 4f 4e 3b`,
			wire.OK{Status: changed | wire.StatusInTrans, Track: []wire.Track{
				{Type: wire.TrackSystemVariable, Name: "statement_id", Value: "87"},
				{Type: wire.TrackTransaction, Value: "T_______"},
				{Type: wire.TrackCharacteristics, Value: "START TRANSACTION;"},
			}},
		},
		{
			"MariaDB: UPDATE in a transaction", `00 03 00 23 40 00 00 28 52 6f 77 73 20 6d 61 74 63 68 65 64 3a 20 33 20 20
				43 68 61 6e 67 65 64 3a 20 33 20 20 57 61 72 6e 69 6e 67 73 3a 20 30 0b 05 09 08 54 5f 5f 5f 57 5f 5f 5f`,
			wire.OK{
				Affected: 3, Status: changed | wire.StatusInTrans | wire.StatusNoIndexUsed,
				Info:  "Rows matched: 3  Changed: 3  Warnings: 0",
				Track: []wire.Track{{Type: wire.TrackTransaction, Value: "T___W___"}},
			},
		},
		{
			"MariaDB: the end of rows", `fe 00 00 23 40 00 00 00 0b 05 09 08 54 5f 52 5f 57 5f 53 5f`,
			wire.OK{
				End: true, Status: changed | wire.StatusInTrans | wire.StatusNoIndexUsed,
				Track: []wire.Track{{Type: wire.TrackTransaction, Value: "T_R_W_S_"}},
			},
		},
	} {
		t.Run(tc.sql, func(t *testing.T) {
			payload := mustHex(t, tc.payload)
			ok, err := wire.ParseOK(payload, allCaps)
			equal(t, ok, err, tc.want)
			if got := ok.Append(nil, allCaps); !bytes.Equal(got, payload) {
				t.Errorf("built % x", got)
			}
		})
	}
}

// MariaDB sets the flag in EOF packets, too, without being asked to track.
func TestCapturedEOF(t *testing.T) {
	payload := mustHex(t, "fe 00 00 22 40")
	caps := allCaps &^ wire.ClientDeprecateEOF &^ wire.ClientSessionTrack
	ok, err := wire.ParseEnd(payload, caps)
	equal(t, ok, err, wire.OK{End: true, Status: wire.StatusSessionStateChanged | wire.StatusNoIndexUsed | wire.StatusAutocommit})
	if got := wire.AppendEnd(nil, ok, caps); !bytes.Equal(got, payload) {
		t.Errorf("built % x", got)
	}
}

// A row of all types, the same from both servers.
func TestCapturedBinaryRow(t *testing.T) {
	payload := mustHex(t, `00 00 00 00 01 00 00 00 00 00 00 00 fb 60 ea 90 ee fe ff 00 6c ca 88 00 00 00 00 00 00 00 80 00 00 00 3f
		9a 99 99 99 99 99 b9 3f 05 31 32 2e 33 30 04 e8 07 02 1d 0b e8 07 02 1d 01 02 03 40 e2 01 00 0b e8 07 02 1d 01 02 03 78 e0 01 00
		0c 01 01 00 00 00 02 00 00 20 a1 07 00 e8 07 06 6e 61 c3 af 76 65 03 00 01 ff 04 74 65 78 74
		08 7b 22 61 22 3a 20 31 7d 01 78 03 75 2c 76 02 01 02 03 61 62 63`)
	at := time.Date(2024, 2, 29, 1, 2, 3, 123456000, time.UTC)
	cells := []struct {
		column wire.Column
		value  any
	}{
		{wire.Column{Type: wire.TypeLongLong, Flags: wire.FlagUnsigned}, uint64(1)},
		{wire.Column{Type: wire.TypeTiny}, int64(-5)},
		{wire.Column{Type: wire.TypeShort, Flags: wire.FlagUnsigned}, uint64(60000)},
		{wire.Column{Type: wire.TypeInt24}, int64(-70000)},
		{wire.Column{Type: wire.TypeLong}, int64(-2000000000)},
		{wire.Column{Type: wire.TypeLongLong}, int64(-1 << 63)},
		{wire.Column{Type: wire.TypeFloat}, float32(0.5)},
		{wire.Column{Type: wire.TypeDouble}, 0.1},
		{wire.Column{Type: wire.TypeNewDecimal}, "12.30"},
		{wire.Column{Type: wire.TypeDate}, at.Truncate(24 * time.Hour)},
		{wire.Column{Type: wire.TypeDateTime}, at},
		{wire.Column{Type: wire.TypeTimestamp}, at.Truncate(time.Millisecond)},
		{wire.Column{Type: wire.TypeTime}, -(26*time.Hour + 500*time.Millisecond)},
		{wire.Column{Type: wire.TypeYear, Flags: wire.FlagUnsigned}, uint64(2024)},
		{wire.Column{Type: wire.TypeVarString}, "naïve"},
		{wire.Column{Type: wire.TypeBlob}, []byte{0, 1, 255}},
		{wire.Column{Type: wire.TypeBlob}, []byte("text")},
		{wire.Column{Type: wire.TypeJSON}, `{"a": 1}`},
		{wire.Column{Type: wire.TypeString}, "x"},
		{wire.Column{Type: wire.TypeString}, "u,v"},
		{wire.Column{Type: wire.TypeBit}, []byte{1, 2}},
		{wire.Column{Type: wire.TypeString}, "abc"},
	}
	var columns []wire.Column
	var want []any
	for _, c := range cells {
		columns = append(columns, c.column)
		want = append(want, c.value)
	}
	row, err := wire.ParseBinaryRow(payload, columns)
	if err != nil || !reflect.DeepEqual(row, want) {
		t.Errorf("%v\n got %v\nwant %v", err, row, want)
	}
	if got, err := wire.AppendBinaryRow(nil, columns, row); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("built % x, %v", got, err)
	}
}
