package sqlscan

import "strings"

// Hints stand in comments before a text's first word and say where it is to go:
//
//	/* fp:reader */ SELECT …
//
// A text without a comment there costs three comparisons.

// hint returns the flag of the first hint before the text's first word. Comments that are none
// may stand before it: tools put their own there.
func hint(text string) flags {
	for {
		for text != "" && isSpace(text[0]) {
			text = text[1:]
		}
		if lineComment(text) { // sqlc begins each query with one
			_, text, _ = strings.Cut(text, "\n")
			continue
		}
		if !strings.HasPrefix(text, "/*") {
			return 0
		}
		// Not in /*! … */ and /*+ … */: those are the servers'.
		comment, rest, closed := strings.Cut(text[len("/*"):], "*/")
		if !closed {
			return 0
		}
		switch strings.TrimSpace(comment) {
		case "fp:reader":
			return hintsReader
		case "fp:writer":
			return hintsWriter
		}
		text = rest
	}
}

// lineComment reports whether the text begins with a comment to the end of the line, as the lexer
// has it.
func lineComment(text string) bool {
	return strings.HasPrefix(text, "#") || strings.HasPrefix(text, "--") && (len(text) == 2 || text[2] <= ' ')
}

// HintsReader reports whether the text begins with /* fp:reader */.
func (f Facts) HintsReader() bool { return f.flags&hintsReader != 0 }

// HintsWriter reports whether the text begins with /* fp:writer */.
func (f Facts) HintsWriter() bool { return f.flags&hintsWriter != 0 }
