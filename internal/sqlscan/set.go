package sqlscan

// set reads SET. What it assigns is found at the beginning of each assignment; the
// values are expressions, which may call functions.
func (s *scanner) set() Facts {
	f := Facts{Kind: Set}
	switch {
	case s.accept("TRANSACTION"):
		f.Effects = EffectNextTransaction
		s.rest()
		return f
	case s.oneOf("NAMES", "CHARSET", "CHARACTER", "ROLE", "RESOURCE"):
		f.Effects = EffectVariable
		s.rest()
		return f
	case s.is("PASSWORD"), s.is("DEFAULT") && s.word(s.ahead, "ROLE"):
		s.rest()
		return Facts{Kind: DDL, flags: implicitCommit}
	case s.is("STATEMENT"): // MariaDB's SET STATEMENT … FOR
		return s.misunderstood()
	}
	for !s.over() {
		f.Effects |= s.assigned(&f)
		values := s.expression(Write, true)
		f.Effects |= values.Effects
		f.Ends |= values.Ends
		f.flags |= values.flags
		if s.symbol(',') {
			s.advance()
		}
	}
	return f
}

// assigned reads the left side of an assignment.
func (s *scanner) assigned(f *Facts) Effects {
	global := s.oneOf("GLOBAL", "PERSIST", "PERSIST_ONLY")
	if global || s.oneOf("SESSION", "LOCAL") {
		s.advance()
		if s.is("TRANSACTION") {
			s.rest()
			if global {
				return 0
			}
			return EffectVariable
		}
	}
	name := s.text[s.token.start:s.token.end]
	switch s.token.kind {
	case userToken:
		s.advance()
		if s.token.kind == assignToken {
			s.advance()
		}
		return EffectUserVariable
	case systemToken:
		name = name[2:]
		for _, scope := range [...]string{"GLOBAL.", "PERSIST.", "PERSIST_ONLY."} {
			if len(name) > len(scope) && equalFold(name[:len(scope)], scope) {
				global = true
			}
		}
		for _, scope := range [...]string{"SESSION.", "LOCAL."} {
			if len(name) > len(scope) && equalFold(name[:len(scope)], scope) {
				name = name[len(scope):]
			}
		}
	case wordToken, quotedToken:
	default:
		return EffectUnknown
	}
	s.advance()
	if s.token.kind == assignToken {
		s.advance()
	}
	switch {
	case global:
		return 0
	case equalFold(name, "AUTOCOMMIT"), equalFold(name, "`AUTOCOMMIT`"):
		f.flags |= implicitCommit
		return EffectAutocommit
	}
	return EffectVariable
}
