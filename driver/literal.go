package driver

import (
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/sqlscan"
	"github.com/failoverproxy/failoverproxy/pool"
)

// letters is how a connection reads string literals.
type letters struct{ charset, collation string }

// changesLetters reports whether a SET changes how literals are read.
func (c *conn) changesLetters(changes []sqlscan.Change) bool {
	return slices.ContainsFunc(changes, func(change sqlscan.Change) bool {
		return change.Effect == sqlscan.EffectVariable && slices.ContainsFunc(c.settings(change), func(v pool.Setting) bool {
			return strings.HasPrefix(v.Name, "character_set") || v.Name == "collation_connection"
		})
	})
}

// hasText reports whether user variables have values that depend on how literals are read.
func hasText(state *pool.State) bool {
	return slices.ContainsFunc(state.Settings(), func(v pool.Setting) bool { return v.User && strings.HasPrefix(v.Value, "'") })
}

// fixText writes the values of the session's user variables such that they mean what they
// did before the statement changed how literals are read.
func (c *conn) fixText(x *exchange) {
	for _, v := range c.session.State().Settings() {
		if !v.User || !strings.HasPrefix(v.Value, "'") {
			continue
		}
		value, ok := fixed(v.Value, x)
		if !ok {
			c.pin(x, sqlscan.EffectUserVariable, v.Name, true)
			return
		}
		v.Value = value
		c.session.Set(v)
	}
}

// fixed is a literal with the character set and collation that it had on the connection
// before the statement; false if it cannot be written so. What is no string stays as it is.
func fixed(literal string, x *exchange) (string, bool) {
	if !strings.HasPrefix(literal, "'") {
		return literal, true
	}
	wide := strings.HasPrefix(x.letters.charset, "ucs") || strings.HasPrefix(x.letters.charset, "utf16") || strings.HasPrefix(x.letters.charset, "utf32")
	if wide || strings.IndexFunc(literal, func(r rune) bool { return r >= 0x80 }) >= 0 {
		return "", false
	}
	literal = "_" + x.letters.charset + literal
	if !strings.Contains(literal[strings.LastIndexByte(literal, '\''):], "COLLATE") {
		literal += " COLLATE `" + x.letters.collation + "`"
	}
	return literal, true
}
