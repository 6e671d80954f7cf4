package sqlscan

import (
	"strings"
	"unicode/utf8"
)

// longestDigest bounds a digest, in bytes.
const longestDigest = 1024

// Digest returns the text with its literals replaced by ?, lists of them by one,
// without comments and with single spaces: what a statement is, without what it is
// about. It is 1,024 bytes long at most. What cannot be understood is left out, so that
// no literal can slip through: with [AnyMode], all behind the first word of a text whose
// quotes can be read in more than one way, and that of every text that is not UTF-8.
func Digest(text string, mode Mode) string {
	l := lexer{text: text, mode: mode &^ (AnyMode | AnyQuotes)}
	foreign := !utf8.ValidString(text)
	if quotes, _ := ambiguities(text); foreign || quotes && mode&AnyMode != 0 {
		t := l.next()
		if t.kind != wordToken || foreign && !utf8.ValidString(text[t.start:t.end]) {
			return "…"
		}
		return text[t.start:t.end] + " …"
	}
	var d digest
	end := 0 // of the last token
	for d.Len() < longestDigest {
		t := l.next()
		if t.kind == symbolToken && t.start == end {
			d.glued = true // COUNT(*), as it was written
		}
		end = t.end
		switch t.kind {
		case endToken:
			return d.String()
		case badToken:
			d.add("…", false)
			return d.String()
		case stringToken, numberToken, paramToken:
			d.literal()
		case userToken:
			if name := text[t.start:t.end]; strings.ContainsAny(name, "'\"") {
				d.add("@?", false) // 'user'@'host'
			} else {
				d.add(name, false)
			}
		default:
			d.add(text[t.start:t.end], t.kind == symbolToken)
		}
	}
	return strings.ToValidUTF8(d.String()[:longestDigest], "") + "…"
}

// digest joins tokens.
type digest struct {
	strings.Builder
	list  int  // what of "? ," has been seen
	glued bool // the next token needs no space
}

func (d *digest) literal() {
	switch d.list {
	case 2: // "?, ?": one stands for all
		d.list = 1
		return
	case 0:
		d.space()
		d.WriteByte('?')
	}
	d.list = 1
}

func (d *digest) add(s string, symbol bool) {
	if d.list == 1 && s == "," {
		d.list = 2
		return
	}
	if d.list == 2 {
		d.WriteByte(',')
		d.glued = false
	}
	d.list = 0
	if !symbol || !strings.Contains(",;).", s) {
		d.space()
	}
	d.WriteString(s)
	d.glued = symbol && (s == "(" || s == ".")
}

func (d *digest) space() {
	if d.Len() > 0 && !d.glued {
		d.WriteByte(' ')
	}
	d.glued = false
}
