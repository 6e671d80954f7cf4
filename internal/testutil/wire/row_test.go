package wire_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

func TestColumnRoundTrip(t *testing.T) {
	c := wire.Column{
		Name: "n", Table: "a", Type: wire.TypeLongLong, Flags: wire.FlagNotNull | wire.FlagUnsigned,
		Length: 0x01020304, Charset: wire.CharsetBinary, Decimals: 31, Schema: "shop", OrgName: "id", OrgTable: "accounts",
	}
	got, err := wire.ParseColumn(c.Append(nil))
	equal(t, got, err, c)
	for typ, want := range map[byte]uint16{wire.TypeVarString: wire.CharsetUTF8MB4, wire.TypeBlob: wire.CharsetBinary, wire.TypeLong: wire.CharsetBinary} {
		got, err := wire.ParseColumn(wire.Column{Type: typ}.Append(nil))
		if err != nil || got.Charset != want {
			t.Errorf("type %#02x: character set %d, want %d (%v)", typ, got.Charset, want, err)
		}
	}
}

// moment has microseconds, so that every part of a time counts.
var moment = time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)

// values are one value each, in a column, through both protocols.
var values = []struct {
	name   string
	column wire.Column
	value  any
	text   any // what the text protocol gives
	binary any // what the binary protocol gives
}{
	{"NULL", wire.Column{Type: wire.TypeLong}, nil, nil, nil},
	{"nil bytes are NULL", wire.Column{Type: wire.TypeBlob}, []byte(nil), nil, nil},
	{"empty is not NULL", wire.Column{Type: wire.TypeBlob}, []byte{}, "", []byte{}},
	{"type NULL", wire.Column{Type: wire.TypeNull}, nil, nil, nil},
	{"tiny", wire.Column{Type: wire.TypeTiny}, -128, "-128", int64(-128)},
	{"tiny unsigned", wire.Column{Type: wire.TypeTiny, Flags: wire.FlagUnsigned}, uint8(255), "255", uint64(255)},
	{"bool", wire.Column{Type: wire.TypeTiny}, true, "1", int64(1)},
	{"false", wire.Column{Type: wire.TypeTiny}, false, "0", int64(0)},
	{"short", wire.Column{Type: wire.TypeShort}, int16(-32768), "-32768", int64(-32768)},
	{"year", wire.Column{Type: wire.TypeYear}, 2024, "2024", int64(2024)},
	{"medium", wire.Column{Type: wire.TypeInt24}, int8(-5), "-5", int64(-5)},
	{"long", wire.Column{Type: wire.TypeLong}, int32(math.MinInt32), "-2147483648", int64(math.MinInt32)},
	{"bigint", wire.Column{Type: wire.TypeLongLong}, int64(math.MinInt64), "-9223372036854775808", int64(math.MinInt64)},
	{"bigint unsigned", wire.Column{Type: wire.TypeLongLong, Flags: wire.FlagUnsigned}, uint64(math.MaxUint64), "18446744073709551615", uint64(math.MaxUint64)},
	{"digits in an integer column", wire.Column{Type: wire.TypeLongLong}, "-42", "-42", int64(-42)},
	{"a whole float in an integer column", wire.Column{Type: wire.TypeLong}, 42.0, "42", int64(42)},
	{"float", wire.Column{Type: wire.TypeFloat}, float32(0.1), "0.1", float32(0.1)},
	{"double", wire.Column{Type: wire.TypeDouble}, 0.1, "0.1", 0.1},
	{"integer in a double column", wire.Column{Type: wire.TypeDouble}, -3, "-3", -3.0},
	{"decimal", wire.Column{Type: wire.TypeNewDecimal, Decimals: 2}, "12.30", "12.30", "12.30"},
	{"varchar", wire.Column{Type: wire.TypeVarString}, "naïve", "naïve", "naïve"},
	{"bytes in a text column", wire.Column{Type: wire.TypeString}, []byte("abc"), "abc", "abc"},
	{"number in a text column", wire.Column{Type: wire.TypeString}, 17, "17", "17"},
	{"long text", wire.Column{Type: wire.TypeString}, strings.Repeat("x", 70000), strings.Repeat("x", 70000), strings.Repeat("x", 70000)},
	{"blob", wire.Column{Type: wire.TypeBlob}, []byte{0, 0xfb, 0xfe, 0xff}, "\x00\xfb\xfe\xff", []byte{0, 0xfb, 0xfe, 0xff}},
	{"json", wire.Column{Type: wire.TypeJSON}, `{"a":1}`, `{"a":1}`, `{"a":1}`},
	{"datetime(6)", wire.Column{Type: wire.TypeDateTime, Decimals: 6}, moment, "2024-02-29 23:59:58.123456", moment},
	{"datetime(3) as text", wire.Column{Type: wire.TypeTimestamp, Decimals: 3}, "2024-02-29 23:59:58.123", "2024-02-29 23:59:58.123", moment.Truncate(time.Millisecond)},
	{"datetime without fraction", wire.Column{Type: wire.TypeDateTime}, moment.Truncate(time.Second), "2024-02-29 23:59:58", moment.Truncate(time.Second)},
	{"midnight", wire.Column{Type: wire.TypeDateTime}, moment.Truncate(24 * time.Hour), "2024-02-29 00:00:00", moment.Truncate(24 * time.Hour)},
	{"date", wire.Column{Type: wire.TypeDate}, moment, "2024-02-29", moment.Truncate(24 * time.Hour)},
	{"date as text", wire.Column{Type: wire.TypeDate}, []byte("2024-02-29"), "2024-02-29", moment.Truncate(24 * time.Hour)},
	{"zero date", wire.Column{Type: wire.TypeDateTime}, time.Time{}, "0000-00-00 00:00:00", time.Time{}},
	{"zero date as text", wire.Column{Type: wire.TypeDate}, "0000-00-00", "0000-00-00", time.Time{}},
	{"time", wire.Column{Type: wire.TypeTime}, -(838*time.Hour + 59*time.Minute + 59*time.Second), "-838:59:59", -(838*time.Hour + 59*time.Minute + 59*time.Second)},
	{"time(2)", wire.Column{Type: wire.TypeTime, Decimals: 2}, 90*time.Second + 250*time.Millisecond, "00:01:30.25", 90*time.Second + 250*time.Millisecond},
	{"time as text", wire.Column{Type: wire.TypeTime}, []byte("-01:02:03"), "-01:02:03", -(time.Hour + 2*time.Minute + 3*time.Second)},
	{"no time at all", wire.Column{Type: wire.TypeTime}, time.Duration(0), "00:00:00", time.Duration(0)},
}

func TestValues(t *testing.T) {
	if len(values) == 0 {
		t.Fatal("no cases")
	}
	for _, tc := range values {
		t.Run(tc.name, func(t *testing.T) {
			columns := []wire.Column{tc.column}
			payload, err := wire.AppendTextRow(nil, columns, []any{tc.value})
			if err != nil {
				t.Fatal(err)
			}
			row, err := wire.ParseTextRow(payload, 1)
			equal(t, row, err, []any{tc.text})
			payload, err = wire.AppendBinaryRow(nil, columns, []any{tc.value})
			if err != nil {
				t.Fatal(err)
			}
			row, err = wire.ParseBinaryRow(payload, columns)
			equal(t, row, err, []any{tc.binary})
		})
	}
}

// One row with all of them: the NULL bitmap spans several bytes.
func TestWideRow(t *testing.T) {
	var columns []wire.Column
	var row, want []any
	for range 3 {
		for _, tc := range values {
			columns = append(columns, tc.column)
			row = append(row, tc.value)
			want = append(want, tc.binary)
		}
	}
	payload, err := wire.AppendBinaryRow(nil, columns, row)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.ParseBinaryRow(payload, columns)
	equal(t, got, err, want)
}

func TestValuesThatDoNotFit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		column wire.Column
		value  any
	}{
		{"too big for tiny", wire.Column{Type: wire.TypeTiny}, 128},
		{"too small for tiny", wire.Column{Type: wire.TypeTiny}, -129},
		{"negative in unsigned", wire.Column{Type: wire.TypeLong, Flags: wire.FlagUnsigned}, -1},
		{"too big for bigint", wire.Column{Type: wire.TypeLongLong}, uint64(math.MaxUint64)},
		{"fraction in an integer column", wire.Column{Type: wire.TypeLong}, 1.5},
		{"words in an integer column", wire.Column{Type: wire.TypeLong}, "one"},
		{"words in a double column", wire.Column{Type: wire.TypeDouble}, "one"},
		{"words in a datetime column", wire.Column{Type: wire.TypeDateTime}, "yesterday"},
		{"words in a time column", wire.Column{Type: wire.TypeTime}, "soon"},
		{"a struct", wire.Column{Type: wire.TypeString}, struct{}{}},
	} {
		if _, err := wire.AppendBinaryRow(nil, []wire.Column{tc.column}, []any{tc.value}); err == nil {
			t.Errorf("%s: accepted", tc.name)
		}
	}
	one := []wire.Column{{Type: wire.TypeLong}}
	if _, err := wire.AppendTextRow(nil, one, []any{struct{}{}}); err == nil {
		t.Error("a struct in a text row was accepted")
	}
	if _, err := wire.AppendTextRow(nil, one, nil); err == nil {
		t.Error("a text row without values was accepted")
	}
	if _, err := wire.AppendBinaryRow(nil, one, []any{1, 2}); err == nil {
		t.Error("a binary row with too many values was accepted")
	}
}

func TestExecuteRoundTrip(t *testing.T) {
	args := []any{int64(-1), uint64(math.MaxUint64), 1.5, "text", []byte{0, 1}, nil, moment, -time.Hour, int64(9), nil}
	payload, err := wire.AppendExecute(nil, 77, args)
	if err != nil {
		t.Fatal(err)
	}
	first, err := wire.ParseExecute(payload, len(args), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != 77 || !reflect.DeepEqual(first.Args, args) {
		t.Errorf("statement %d\n got %#v\nwant %#v", first.ID, first.Args, args)
	}

	// The next one may leave the types out: behind the header and the bitmap of
	// two bytes comes a 0 in place of a 1.
	head := 10 + 2
	again := append(bytes.Clone(payload[:head]), 0)
	again = append(again, payload[head+1+2*len(args):]...)
	second, err := wire.ParseExecute(again, len(args), first.Types, nil)
	if err != nil || !reflect.DeepEqual(second.Args, args) || second.Types != nil {
		t.Errorf("without types: %#v, %v", second, err)
	}
	if _, err := wire.ParseExecute(again, len(args), nil, nil); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("types never sent: error %v", err)
	}
}

func TestLongData(t *testing.T) {
	l := wire.LongData{ID: 3, Param: 1, Data: []byte("piece")}
	got, err := wire.ParseLongData(l.Append(nil))
	equal(t, got, err, l)

	// Parameters 0 and 1 came ahead: the EXECUTE has their types, not their values.
	payload := []byte{0x17, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, wire.TypeString, 0, wire.TypeBlob, 0, wire.TypeTiny, 0, 5}
	e, err := wire.ParseExecute(payload, 3, nil, map[uint16][]byte{0: []byte("long"), 1: {1, 2}})
	equal(t, e.Args, err, []any{"long", []byte{1, 2}, int64(5)})
}

func TestPrepareOKRoundTrip(t *testing.T) {
	p := wire.PrepareOK{ID: 1 << 20, Columns: 300, Params: 2, Warnings: 1}
	got, err := wire.ParsePrepareOK(p.Append(nil))
	equal(t, got, err, p)
}
