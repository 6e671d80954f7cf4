package aurorasim

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

const dateTimeLayout = "2006-01-02 15:04:05.999999"

func boolean(b bool) any {
	if b {
		return int64(1)
	}
	return int64(0)
}

// truth is a value as a condition. NULL is not true.
func truth(v any) bool { return v != nil && float(v) != 0 }

// float is a value as a number, as MySQL converts: of a text what looks like one.
func float(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case float32:
		return float64(v)
	case float64:
		return v
	case time.Duration:
		return v.Seconds()
	case time.Time:
		n, _ := strconv.ParseFloat(v.Format("20060102150405.999999"), 64)
		return n
	case string:
		end := 0
		for end < len(v) && strings.IndexByte("+-.0123456789eE", v[end]) >= 0 {
			end++
		}
		n, _ := strconv.ParseFloat(v[:end], 64)
		return n
	}
	return 0
}

// number is f as an integer if it is one.
func number(f float64) any {
	if f == float64(int64(f)) {
		return int64(f)
	}
	return f
}

func divide(a, b float64) any {
	if b == 0 {
		return nil
	}
	return a / b
}

// str is a value as text.
func str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.Format(dateTimeLayout)
	case time.Duration:
		return v.String()
	}
	return ""
}

func asTime(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case string:
		t, err := time.Parse(dateTimeLayout, v)
		return t, err == nil
	}
	return time.Time{}, false
}

// compare orders two values that are not NULL: times as times, texts without regard
// to case, all else as numbers.
func compare(a, b any) int {
	ta, aIsTime := a.(time.Time)
	tb, bIsTime := b.(time.Time)
	if aIsTime || bIsTime {
		ok := true
		if !aIsTime {
			ta, ok = asTime(a)
		} else if !bIsTime {
			tb, ok = asTime(b)
		}
		if ok {
			return ta.Compare(tb)
		}
	}
	sa, aIsText := a.(string)
	sb, bIsText := b.(string)
	if aIsText && bIsText {
		return cmp.Compare(strings.ToLower(sa), strings.ToLower(sb))
	}
	return cmp.Compare(float(a), float(b))
}

// add adds or subtracts: numbers, or an interval to a time.
func add(a, b any, sign int64) any {
	if a == nil || b == nil {
		return nil
	}
	if d, ok := b.(time.Duration); ok {
		if t, ok := asTime(a); ok {
			return t.Add(time.Duration(sign) * d)
		}
	}
	ia, aInt := a.(int64)
	ib, bInt := b.(int64)
	if aInt && bInt {
		return ia + sign*ib
	}
	return float(a) + float64(sign)*float(b)
}

// like matches as LIKE does, without regard to case.
func like(s, pattern string) bool {
	s, pattern = strings.ToLower(s), strings.ToLower(pattern)
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '%':
			for n := range len(s) + 1 {
				if like(s[n:], pattern[1:]) {
					return true
				}
			}
			return false
		case s == "":
			return false
		case c == '_':
		case c == '\\' && len(pattern) > 1:
			pattern = pattern[1:]
			if pattern[0] != s[0] {
				return false
			}
		case c != s[0]:
			return false
		}
		s, pattern = s[1:], pattern[1:]
	}
	return s == ""
}

// parameter is an argument of a prepared statement as the evaluator has values.
func parameter(args []any, n int) any {
	if n >= len(args) {
		return nil
	}
	switch v := args[n].(type) {
	case []byte:
		return string(v)
	case uint64:
		return int64(v)
	case float32:
		return float64(v)
	default:
		return v
	}
}
