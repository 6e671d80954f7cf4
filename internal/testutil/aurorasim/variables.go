package aurorasim

import (
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// shownVariables rewrites the answer to a SHOW VARIABLES: the upstream's own rows
// of Aurora's names go, those of the instance come, at their place in the order.
type shownVariables struct {
	binary  bool
	columns []wire.Column
	coming  [][2]string // rows to insert, sorted
	hidden  map[string]bool
	// filter, if not nil, is for the upstream's rows, too: the fake answers with
	// all that it has.
	filter func(name, value string) bool
}

// showVariables prepares the rewriting of the answer.
func showVariables(t *text, vars variables, binary, literal bool) *shownVariables {
	s := &shownVariables{binary: binary, hidden: make(map[string]bool)}
	filter := filterOf(t)
	if literal {
		s.filter = filter
	}
	for _, row := range vars.shown() {
		s.hidden[row[0]] = true
		if filter(row[0], row[1]) {
			s.coming = append(s.coming, row)
		}
	}
	return s
}

// filterOf is what follows VARIABLES: LIKE 'pattern' or WHERE with an expression over
// Variable_name and Value. A filter that is not understood takes everything, so that
// its rows at least show.
func filterOf(t *text) func(name, value string) bool {
	tokens := t.lex()
	n := 0
	for n < len(tokens) && !tokens[n].is("VARIABLES") {
		n++
	}
	rest := trimEnd(tokens[min(n+1, len(tokens)):])
	all := func(string, string) bool { return true }
	if len(rest) == 0 {
		return all
	}
	if rest[0].is("LIKE") && len(rest) == 2 && rest[1].kind == textToken {
		pattern := rest[1].value(t)
		return func(name, _ string) bool { return like(name, pattern) }
	}
	if !rest[0].is("WHERE") {
		return all
	}
	p := &parser{tokens: rest[1:], text: t, scope: scope{columns: []string{"Variable_name", "Value"}}}
	e := p.expression()
	if p.err != nil || !p.atEnd() {
		return all
	}
	return func(name, value string) bool {
		return truth(e.eval(&frame{row: []any{name, value}}))
	}
}

// rewrite handles one packet of the answer. It calls put for what the client gets in
// its place: nothing, the packet, or rows before it.
func (s *shownVariables) rewrite(kind wire.Kind, payload []byte, put func([]byte)) error {
	switch kind {
	case wire.KindColumn:
		column, err := wire.ParseColumn(payload)
		if err != nil {
			return err
		}
		s.columns = append(s.columns, column)
	case wire.KindRow:
		row, err := s.parse(payload)
		if err != nil {
			return err
		}
		name := str(row[0])
		if s.hidden[strings.ToLower(name)] {
			return nil
		}
		if s.filter != nil && len(row) > 1 && !s.filter(name, str(row[1])) {
			return nil
		}
		if err := s.insert(put, strings.ToLower(name)); err != nil {
			return err
		}
	case wire.KindRowsEnd:
		if err := s.insert(put, "\xff"); err != nil {
			return err
		}
	}
	put(payload)
	return nil
}

func (s *shownVariables) parse(payload []byte) ([]any, error) {
	if s.binary {
		return wire.ParseBinaryRow(payload, s.columns)
	}
	return wire.ParseTextRow(payload, len(s.columns))
}

// insert puts the rows that sort before name.
func (s *shownVariables) insert(put func([]byte), name string) error {
	for len(s.coming) > 0 && s.coming[0][0] < name && len(s.columns) >= 2 {
		row := make([]any, len(s.columns))
		row[0], row[1] = s.coming[0][0], s.coming[0][1]
		encode := wire.AppendTextRow
		if s.binary {
			encode = wire.AppendBinaryRow
		}
		payload, err := encode(nil, s.columns, row)
		if err != nil {
			return err
		}
		put(payload)
		s.coming = s.coming[1:]
	}
	return nil
}
