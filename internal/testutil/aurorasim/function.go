package aurorasim

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// bareFunctions may stand without parentheses.
var bareFunctions = map[string]bool{
	"CURRENT_TIMESTAMP": true, "LOCALTIMESTAMP": true, "UTC_TIMESTAMP": true, "CURRENT_USER": true,
}

// units are those of INTERVAL and TIMESTAMPDIFF.
var units = map[string]time.Duration{
	"MICROSECOND": time.Microsecond, "SECOND": time.Second, "MINUTE": time.Minute,
	"HOUR": time.Hour, "DAY": 24 * time.Hour,
}

// interval parses INTERVAL n unit.
func (p *parser) interval() expr {
	n := p.sum()
	unit, ok := units[upper(p.peek())]
	if !ok {
		return p.unsupported("INTERVAL at " + p.rest())
	}
	p.pos++
	return derive(func(f *frame) any { return time.Duration(float(n.eval(f)) * float64(unit)) }, n)
}

// arguments parses ( expression, … ).
func (p *parser) arguments() []expr {
	p.expect("(")
	var list []expr
	if p.symbol(")") {
		return nil
	}
	for p.err == nil {
		list = append(list, p.expression())
		if !p.symbol(",") {
			break
		}
	}
	p.expect(")")
	return list
}

// call parses the arguments of a function and applies it.
func (p *parser) call(name string) expr {
	switch name {
	case "COUNT", "MAX", "MIN":
		return p.aggregate(name)
	case "TIMESTAMPDIFF":
		return p.timestampDiff()
	case "AURORA_VERSION":
		p.arguments()
		return constant(p.vars.version)
	}
	if v, ok := p.session[name]; ok {
		if p.peek().symbol("(") {
			p.arguments()
		}
		return constant(v)
	}
	switch name {
	case "NOW", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "SYSDATE", "UTC_TIMESTAMP":
		return p.clock()
	}
	fn, ok := functions[name]
	if !ok {
		return p.unsupported(name + "()")
	}
	args := p.arguments()
	if len(args) < fn.least || fn.most >= 0 && len(args) > fn.most {
		return p.unsupported(strconv.Itoa(len(args)) + " arguments for " + name + "()")
	}
	now := p.now
	return derive(func(f *frame) any {
		values := make([]any, len(args))
		for n, a := range args {
			values[n] = a.eval(f)
		}
		return fn.apply(now, values)
	}, args...)
}

// clock parses the optional number of digits. Without it seconds are whole.
func (p *parser) clock() expr {
	digits := 0
	if p.peek().symbol("(") {
		for _, a := range p.arguments() {
			digits = int(float(a.eval(&frame{})))
		}
	}
	return constant(p.now.UTC().Truncate(time.Duration(math.Pow10(9 - min(max(digits, 0), 6)))))
}

func (p *parser) timestampDiff() expr {
	p.expect("(")
	unit, ok := units[upper(p.peek())]
	if !ok {
		return p.unsupported("TIMESTAMPDIFF at " + p.rest())
	}
	p.pos++
	p.expect(",")
	from := p.expression()
	p.expect(",")
	to := p.expression()
	p.expect(")")
	return derive(func(f *frame) any {
		a, aok := asTime(from.eval(f))
		b, bok := asTime(to.eval(f))
		if !aok || !bok {
			return nil
		}
		return int64(b.Sub(a) / unit)
	}, from, to)
}

// aggregate parses COUNT, MAX and MIN over the whole result.
func (p *parser) aggregate(name string) expr {
	p.expect("(")
	inner := constant(int64(1))
	if !p.symbol("*") {
		inner = p.expression()
	}
	p.expect(")")
	return expr{aggregate: true, eval: func(f *frame) any {
		var best any
		n := int64(0)
		for _, row := range f.group {
			v := inner.eval(&frame{row: row, args: f.args})
			if v == nil {
				continue
			}
			n++
			if best == nil || name == "MAX" && compare(v, best) > 0 || name == "MIN" && compare(v, best) < 0 {
				best = v
			}
		}
		if name == "COUNT" {
			return n
		}
		return best
	}}
}

// function is a function of values. least and most bound its arguments, -1 = any.
type function struct {
	least, most int
	apply       func(now time.Time, args []any) any
}

var functions = map[string]function{
	"IF": {3, 3, func(_ time.Time, a []any) any {
		if truth(a[0]) {
			return a[1]
		}
		return a[2]
	}},
	"IFNULL":         {2, 2, func(_ time.Time, a []any) any { return coalesce(a) }},
	"COALESCE":       {1, -1, func(_ time.Time, a []any) any { return coalesce(a) }},
	"CONCAT":         {1, -1, func(_ time.Time, a []any) any { return concat(a) }},
	"LOWER":          {1, 1, text1(strings.ToLower)},
	"UPPER":          {1, 1, text1(strings.ToUpper)},
	"FLOOR":          {1, 1, float1(math.Floor)},
	"CEILING":        {1, 1, float1(math.Ceil)},
	"ROUND":          {1, 1, float1(math.Round)},
	"ABS":            {1, 1, float1(math.Abs)},
	"GREATEST":       {1, -1, func(_ time.Time, a []any) any { return extreme(a, 1) }},
	"LEAST":          {1, -1, func(_ time.Time, a []any) any { return extreme(a, -1) }},
	"UNIX_TIMESTAMP": {0, 1, unixTimestamp},
	"TIMEDIFF":       {2, 2, timeDiff},
	"TIME_TO_SEC":    {1, 1, timeToSec},
	"DATE_SUB":       {2, 2, func(_ time.Time, a []any) any { return add(a[0], a[1], -1) }},
	"DATE_ADD":       {2, 2, func(_ time.Time, a []any) any { return add(a[0], a[1], 1) }},
}

func unixTimestamp(now time.Time, a []any) any {
	t, ok := now.Truncate(time.Second), true
	if len(a) == 1 {
		t, ok = asTime(a[0])
	}
	if !ok {
		return nil
	}
	return number(float64(t.UnixMicro()) / 1e6)
}

func timeDiff(_ time.Time, a []any) any {
	from, ok1 := asTime(a[0])
	to, ok2 := asTime(a[1])
	if !ok1 || !ok2 {
		return nil
	}
	return from.Sub(to)
}

func timeToSec(_ time.Time, a []any) any {
	if d, ok := a[0].(time.Duration); ok {
		return int64(d / time.Second)
	}
	return nil
}

func text1(fn func(string) string) func(time.Time, []any) any {
	return func(_ time.Time, a []any) any {
		if a[0] == nil {
			return nil
		}
		return fn(str(a[0]))
	}
}

func float1(fn func(float64) float64) func(time.Time, []any) any {
	return func(_ time.Time, a []any) any {
		if a[0] == nil {
			return nil
		}
		return number(fn(float(a[0])))
	}
}

func coalesce(values []any) any {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

func concat(values []any) any {
	var b strings.Builder
	for _, v := range values {
		if v == nil {
			return nil
		}
		b.WriteString(str(v))
	}
	return b.String()
}

// extreme is the greatest (sign 1) or least (-1) of the values, NULL if one is.
func extreme(values []any, sign int) any {
	best := values[0]
	for _, v := range values {
		if v == nil || best == nil {
			return nil
		}
		if compare(v, best)*sign > 0 {
			best = v
		}
	}
	return best
}
