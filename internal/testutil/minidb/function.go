package minidb

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// function is one that is computed from values.
type function struct {
	least, most int // number of arguments, most -1 = any
	kind        byte
	value       func(e *env, args []any) (any, error)
}

// functions are those that see nothing but their arguments and the session. Their
// type of TypeNull is that of their arguments.
var functions map[string]function

func init() { // its functions know of SLEEP, which knows of the session
	now := function{0, 1, wire.TypeDateTime, func(*env, []any) (any, error) { return valueOf(time.Now().UTC().Truncate(time.Second)), nil }}
	database := function{0, 0, wire.TypeVarString, func(e *env, _ []any) (any, error) {
		if e.session.database == "" {
			return nil, nil
		}
		return e.session.database, nil
	}}
	user := function{0, 0, wire.TypeVarString, func(e *env, _ []any) (any, error) { return e.session.info.User + "@%", nil }}
	functions = map[string]function{
		"COALESCE":       {1, -1, wire.TypeNull, coalesce},
		"IFNULL":         {2, 2, wire.TypeNull, coalesce},
		"IF":             {3, 3, wire.TypeNull, choice},
		"CONCAT":         {1, -1, wire.TypeVarString, concatenation},
		"UPPER":          {1, 1, wire.TypeVarString, textFunction(strings.ToUpper)},
		"LOWER":          {1, 1, wire.TypeVarString, textFunction(strings.ToLower)},
		"LENGTH":         {1, 1, wire.TypeLongLong, length},
		"SLEEP":          {1, 1, wire.TypeLongLong, sleep},
		"CONNECTION_ID":  {0, 0, wire.TypeLongLong, func(e *env, _ []any) (any, error) { return int64(e.session.info.ID), nil }},
		"LAST_INSERT_ID": {0, 1, wire.TypeLongLong, lastInsertID},
		"ROW_COUNT":      {0, 0, wire.TypeLongLong, func(e *env, _ []any) (any, error) { return e.session.rowCount, nil }},
		"VERSION":        {0, 0, wire.TypeVarString, func(e *env, _ []any) (any, error) { return e.session.variable("", "version") }},
		"DATABASE":       database, "SCHEMA": database,
		"USER": user, "CURRENT_USER": user, "SESSION_USER": user, "SYSTEM_USER": user,
		"NOW": now, "CURRENT_TIMESTAMP": now, "SYSDATE": now, "LOCALTIME": now, "LOCALTIMESTAMP": now, "UTC_TIMESTAMP": now,
	}
}

func coalesce(_ *env, args []any) (any, error) {
	for _, v := range args {
		if v != nil {
			return v, nil
		}
	}
	return nil, nil
}

func choice(_ *env, args []any) (any, error) {
	if isTrue(args[0]) {
		return args[1], nil
	}
	return args[2], nil
}

func concatenation(_ *env, args []any) (any, error) {
	var b strings.Builder
	for _, v := range args {
		if v == nil {
			return nil, nil
		}
		b.WriteString(characters(v))
	}
	return b.String(), nil
}

func textFunction(f func(string) string) func(*env, []any) (any, error) {
	return func(_ *env, args []any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		return f(characters(args[0])), nil
	}
}

func length(_ *env, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	return int64(len(characters(args[0]))), nil
}

// lastInsertID is LAST_INSERT_ID([value]); a value is what it will be from now on.
func lastInsertID(e *env, args []any) (any, error) {
	if len(args) > 0 {
		n, _ := integer(args[0])
		e.session.lastID = uint64(n)
	}
	return int64(e.session.lastID), nil
}

// sleep lets go of the database. KILL QUERY makes it 1 where SLEEP is the whole
// statement, an error elsewhere.
// https://dev.mysql.com/doc/refman/8.0/en/miscellaneous-functions.html#function_sleep
func sleep(e *env, args []any) (any, error) {
	seconds := float(args[0])
	if args[0] == nil || seconds < 0 {
		return nil, fail(1210, "Incorrect arguments to sleep.")
	}
	const most = 1 << 31 // of seconds, so that they are a Duration
	e.session.db.mu.Unlock()
	whole := fakemysql.Delay(e.ctx, time.Duration(min(seconds, most)*float64(time.Second)))
	e.session.db.mu.Lock()
	switch {
	case whole:
		return int64(0), nil
	case e.alone && errors.Is(context.Cause(e.ctx), fakemysql.ErrKilledQuery):
		return int64(1), nil
	}
	return nil, fakemysql.Interrupted()
}

// aggregates are computed over the rows of a group.
var aggregates = map[string]bool{"COUNT": true, "SUM": true, "MAX": true, "MIN": true}

func (c *call) eval(e *env) (any, error) {
	if aggregates[c.name] {
		return c.aggregate(e)
	}
	f, ok := functions[c.name]
	if !ok {
		return nil, fail(1305, "FUNCTION %s does not exist", strings.ToLower(c.name))
	}
	if len(c.args) < f.least || f.most >= 0 && len(c.args) > f.most {
		return nil, fail(1582, "Incorrect parameter count in the call to native function '%s'", c.name)
	}
	values := make([]any, len(c.args))
	for i, a := range c.args {
		var err error
		if values[i], err = a.eval(e); err != nil {
			return nil, err
		}
	}
	return f.value(e, values)
}

func (c *call) kind(t *table) byte {
	switch {
	case c.name == "COUNT":
		return wire.TypeLongLong
	case c.name == "SUM" && len(c.args) == 1:
		if k := c.args[0].kind(t); k == wire.TypeDouble || k == wire.TypeVarString || k == wire.TypeBlob {
			return wire.TypeDouble
		}
		return wire.TypeNewDecimal
	case aggregates[c.name] && len(c.args) == 1:
		return c.args[0].kind(t)
	}
	f, ok := functions[c.name]
	if !ok || f.kind != wire.TypeNull {
		return f.kind
	}
	args := c.args
	if c.name == "IF" && len(args) > 0 {
		args = args[1:]
	}
	common := wire.TypeNull
	for _, a := range args {
		switch k := a.kind(t); {
		case k == wire.TypeNull || k == common:
		case common == wire.TypeNull:
			common = k
		default:
			if common = arithmeticKind(common, k); k == wire.TypeVarString || k == wire.TypeBlob {
				common = wire.TypeVarString
			}
		}
	}
	return common
}

// aggregate computes COUNT, SUM, MAX and MIN over the group's rows.
func (c *call) aggregate(e *env) (any, error) {
	if c.star {
		return int64(len(e.group)), nil
	}
	if len(c.args) != 1 {
		return nil, fail(1582, "Incorrect parameter count in the call to native function '%s'", c.name)
	}
	if isGrouped(c.args[0]) {
		return nil, fail(1111, "Invalid use of group function")
	}
	var result any
	n := int64(0)
	each := *e
	seen := map[string]bool{}
	for _, each.row = range e.group {
		v, err := c.args[0].eval(&each)
		if err != nil {
			return nil, err
		}
		if v == nil || c.distinct && seen[folded(characters(v))] {
			continue
		}
		if c.distinct {
			seen[folded(characters(v))] = true
		}
		n++
		if result, err = c.add(result, v); err != nil {
			return nil, err
		}
	}
	if c.name == "COUNT" {
		return n, nil
	}
	return result, nil
}

// add takes one more value into the result so far.
func (c *call) add(result, v any) (any, error) {
	switch {
	case c.name == "SUM":
		if n, ok := exact(v); ok {
			v = decimal(n)
		} else {
			v = float(v)
		}
		if result == nil {
			return v, nil
		}
		return arithmetic("+", result, v)
	case result == nil, c.name == "MAX" && compare(v, result) > 0, c.name == "MIN" && compare(v, result) < 0:
		return v, nil
	}
	return result, nil
}
