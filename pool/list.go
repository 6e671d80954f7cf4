package pool

// sessionList lists sessions of an instance that keep a lease, or that wait for one,
// the first of them in front. Intrusive, because both are on statements' path and must
// not allocate; a session is in one list at most. The zero value is an empty list.
type sessionList struct {
	first, last *Session
	n           int
}

func (l *sessionList) push(s *Session) {
	s.listed, s.before, s.after = true, l.last, nil
	if l.last != nil {
		l.last.after = s
	} else {
		l.first = s
	}
	l.last = s
	l.n++
}

func (l *sessionList) remove(s *Session) {
	if s.before != nil {
		s.before.after = s.after
	} else {
		l.first = s.after
	}
	if s.after != nil {
		s.after.before = s.before
	} else {
		l.last = s.before
	}
	s.listed, s.before, s.after = false, nil, nil
	l.n--
}
