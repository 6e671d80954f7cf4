package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Values of rows and parameters are nil (NULL), bool, every Go integer and float
// type, string, []byte, time.Time (DATE, DATETIME, TIMESTAMP; its own wall clock
// counts, whatever the zone) and time.Duration (TIME).

// textValue is v as the text protocol shows it in column c.
func textValue(c Column, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case time.Time:
		return formatTime(c, v), nil
	case time.Duration:
		return formatDuration(c, v), nil
	}
	if n, ok := asInt(v); ok {
		return n.String(), nil
	}
	return "", fmt.Errorf("wire: column %q: no MySQL value: %T", c.Name, v)
}

// formatTime writes t as DATE or DATETIME with the column's fractional digits.
// The zero time is MySQL's zero date.
func formatTime(c Column, t time.Time) string {
	date, clock := "0000-00-00", "00:00:00"
	if !t.IsZero() {
		date, clock = t.Format("2006-01-02"), t.Format("15:04:05")
	}
	if c.Type == TypeDate {
		return date
	}
	return date + " " + clock + fraction(t.Nanosecond()/1000, c.Decimals)
}

func formatDuration(c Column, d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	return fmt.Sprintf("%s%02d:%02d:%02d%s", sign, int(d.Hours()), int(d.Minutes())%60,
		int(d.Seconds())%60, fraction(int(d.Microseconds()%1e6), c.Decimals))
}

func fraction(micros int, decimals byte) string {
	if decimals == 0 || decimals > 6 {
		return ""
	}
	return "." + fmt.Sprintf("%06d", micros)[:decimals]
}

// integer is a 64-bit integer of either signedness: negative ones as two's
// complement.
type integer struct {
	bits uint64
	neg  bool
}

func (n integer) String() string {
	if n.neg {
		return strconv.FormatInt(int64(n.bits), 10)
	}
	return strconv.FormatUint(n.bits, 10)
}

// fits tells whether n has a place in so many bytes.
func (n integer) fits(size int, unsigned bool) bool {
	shift := uint(64 - 8*size)
	switch {
	case n.neg:
		return !unsigned && int64(n.bits) >= math.MinInt64>>shift
	case unsigned:
		return n.bits <= math.MaxUint64>>shift
	default:
		return n.bits <= math.MaxInt64>>shift
	}
}

func signed(i int64) integer { return integer{uint64(i), i < 0} }

// asInt is v as an integer, if it is a Go integer or a bool.
func asInt(v any) (integer, bool) {
	switch v := v.(type) {
	case int:
		return signed(int64(v)), true
	case int8:
		return signed(int64(v)), true
	case int16:
		return signed(int64(v)), true
	case int32:
		return signed(int64(v)), true
	case int64:
		return signed(v), true
	case uint:
		return integer{bits: uint64(v)}, true
	case uint8:
		return integer{bits: uint64(v)}, true
	case uint16:
		return integer{bits: uint64(v)}, true
	case uint32:
		return integer{bits: uint64(v)}, true
	case uint64:
		return integer{bits: v}, true
	case bool:
		if v {
			return integer{bits: 1}, true
		}
		return integer{}, true
	}
	return integer{}, false
}

// toInt is v as an integer, digits in strings included.
func toInt(v any) (integer, bool) {
	switch v := v.(type) {
	case string:
		return parseInt(v)
	case []byte:
		return parseInt(string(v))
	case float32:
		return signed(int64(v)), float32(int64(v)) == v
	case float64:
		return signed(int64(v)), float64(int64(v)) == v
	}
	return asInt(v)
}

func parseInt(s string) (integer, bool) {
	if strings.HasPrefix(s, "-") {
		i, err := strconv.ParseInt(s, 10, 64)
		return signed(i), err == nil
	}
	u, err := strconv.ParseUint(s, 10, 64)
	return integer{bits: u}, err == nil
}

// toFloat is v as a float, digits in strings included.
func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float32:
		return float64(v), true
	case float64:
		return v, true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	case []byte:
		f, err := strconv.ParseFloat(string(v), 64)
		return f, err == nil
	}
	n, ok := asInt(v)
	if n.neg {
		return float64(int64(n.bits)), ok
	}
	return float64(n.bits), ok
}

// timeLayouts are the forms of DATE and DATETIME; Go's parser takes a fraction
// after the seconds by itself.
var timeLayouts = []string{"2006-01-02 15:04:05", "2006-01-02"}

// toTime is v as a time, text included. The zero date is the zero time.
func toTime(v any) (time.Time, bool) {
	if b, ok := v.([]byte); ok {
		v = string(b)
	}
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		if strings.HasPrefix(v, "0000-00-00") {
			return time.Time{}, true
		}
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, v); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// toDuration is v as a TIME, text included.
func toDuration(v any) (time.Duration, bool) {
	if b, ok := v.([]byte); ok {
		v = string(b)
	}
	switch v := v.(type) {
	case time.Duration:
		return v, true
	case string:
		text, neg := strings.CutPrefix(v, "-")
		parts := strings.SplitN(text, ":", 3)
		if len(parts) != 3 {
			return 0, false
		}
		d, err := time.ParseDuration(parts[0] + "h" + parts[1] + "m" + parts[2] + "s")
		if neg {
			d = -d
		}
		return d, err == nil
	}
	return 0, false
}
