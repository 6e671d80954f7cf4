package minidb

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// Values are nil, int64, float64, decimal, string and time.Time (in UTC, as its
// wall clock).

// decimal is a DECIMAL without fraction, as SUM makes it of integers.
type decimal int64

// valueOf is what the protocol brought as a value.
func valueOf(v any) any {
	switch v := v.(type) {
	case nil, int64, string:
		return v
	case []byte:
		return string(v)
	case uint64:
		if v > math.MaxInt64 {
			return float64(v)
		}
		return int64(v)
	case float32:
		return float64(v)
	case time.Time:
		return time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), time.UTC)
	case time.Duration:
		return v.String()
	case bool:
		return truth(v)
	case float64, decimal:
		return v
	}
	return int64Of(v)
}

// int64Of takes the Go integers that are left.
func int64Of(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	}
	return nil
}

// shown is a value as package wire takes it.
func shown(v any) any {
	if d, ok := v.(decimal); ok {
		return strconv.FormatInt(int64(d), 10)
	}
	return v
}

func truth(b bool) any {
	if b {
		return int64(1)
	}
	return int64(0)
}

// isTrue is false for NULL.
func isTrue(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case int64:
		return v != 0
	case decimal:
		return v != 0
	}
	return float(v) != 0
}

// integer is v as an integer, if it is exactly one.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case decimal:
		return int64(v), true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<63
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// float is v as a number. Of a text the part that looks like one counts.
func float(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case decimal:
		return float64(v)
	case float64:
		return v
	case time.Time:
		n, _ := strconv.ParseFloat(v.Format("20060102150405"), 64)
		return n
	case string:
		v = strings.TrimSpace(v)
		l := lexer{sql: strings.TrimLeft(v, "+-")}
		t := l.next()
		n, err := strconv.ParseFloat(t.text, 64)
		if t.kind != number || err != nil {
			return 0
		}
		if strings.HasPrefix(v, "-") {
			return -n
		}
		return n
	}
	return 0
}

// characters is v as text.
func characters(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case decimal:
		return strconv.FormatInt(int64(v), 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.Format(time.DateTime)
	}
	return ""
}

// instant is v as a DATETIME.
func instant(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		for _, layout := range []string{time.DateTime, time.DateOnly} {
			if t, err := time.Parse(layout, v); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// compare orders two values that are not NULL: texts without regard to case, as
// the default collation, a text and a number as numbers.
func compare(a, b any) int {
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return strings.Compare(folded(x), folded(y))
		}
	}
	_, timeA := a.(time.Time)
	_, timeB := b.(time.Time)
	if timeA || timeB {
		x, okA := instant(a)
		y, okB := instant(b)
		if okA && okB {
			return x.Compare(y)
		}
	}
	return cmp.Compare(float(a), float(b))
}

// order is compare with NULL first.
func order(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return compare(a, b)
}

// folded is a text as the collation compares it.
func folded(s string) string { return strings.ToLower(s) }

// arithmetic computes a op b of values that are not NULL.
func arithmetic(op string, a, b any) (any, error) {
	x, okA := exact(a)
	y, okB := exact(b)
	if !okA || !okB {
		x, y := float(a), float(b)
		switch op {
		case "+":
			return x + y, nil
		case "-":
			return x - y, nil
		}
		return x * y, nil
	}
	var n int64
	var over bool
	switch op {
	case "+":
		n = x + y
		over = (n > x) != (y > 0) && y != 0
	case "-":
		n = x - y
		over = (n < x) != (y > 0) && y != 0
	default:
		n = x * y
		over = x != 0 && (n/x != y || x == -1 && y == math.MinInt64)
	}
	if over {
		return nil, fail(1690, "BIGINT value is out of range in '(%d %s %d)'", x, op, y)
	}
	if kindOf(a) == wire.TypeNewDecimal || kindOf(b) == wire.TypeNewDecimal {
		return decimal(n), nil
	}
	return n, nil
}

// exact is v as an integer if its type is one.
func exact(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case decimal:
		return int64(v), true
	}
	return 0, false
}

// kindOf is the column type that fits a value.
func kindOf(v any) byte {
	switch v.(type) {
	case nil:
		return wire.TypeNull
	case int64:
		return wire.TypeLongLong
	case decimal:
		return wire.TypeNewDecimal
	case float64:
		return wire.TypeDouble
	case time.Time:
		return wire.TypeDateTime
	}
	return wire.TypeVarString
}

// described is a column of a result of that type.
func described(name string, kind byte) fakemysql.Column {
	switch kind {
	case wire.TypeLongLong, wire.TypeLong:
		c := fakemysql.Int(name)
		if c.Type = kind; kind == wire.TypeLong {
			c.Length = 11
		}
		return c
	case wire.TypeNewDecimal:
		return fakemysql.Column{Name: name, Type: kind, Flags: wire.FlagBinary, Length: 41}
	case wire.TypeDouble:
		return fakemysql.Column{Name: name, Type: kind, Flags: wire.FlagBinary, Length: 23, Decimals: 31}
	case wire.TypeDateTime:
		return fakemysql.Column{Name: name, Type: kind, Flags: wire.FlagBinary, Length: 19}
	case wire.TypeNull:
		return fakemysql.Column{Name: name, Type: kind, Flags: wire.FlagBinary}
	}
	c := fakemysql.Text(name)
	c.Type = kind
	return c
}

// like reports whether a text matches a pattern of LIKE.
func like(s, pattern string) bool {
	s, pattern = folded(s), folded(pattern)
	// The position to come back to when the newest % has to take one byte more.
	again, from := -1, 0
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '%':
			again, from = j, i
			j++
			continue
		case j+1 < len(pattern) && pattern[j] == '\\' && pattern[j+1] == s[i]:
			i, j = i+1, j+2
			continue
		case j < len(pattern) && pattern[j] != '\\' && (pattern[j] == '_' || pattern[j] == s[i]):
			i, j = i+1, j+1
			continue
		case again < 0:
			return false
		}
		from++
		i, j = from, again+1
	}
	return strings.Trim(pattern[j:], "%") == ""
}
