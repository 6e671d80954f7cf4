package pool

import "sync/atomic"

// sessionList lists sessions of an instance in one situation, the first of them in front.
// Intrusive, because it is on statements' path and must not allocate; a session is in one
// list at most. The zero value is an empty list.
type sessionList struct {
	first, last *Session
	n           atomic.Int64 // read without the lock, too
}

// push puts a session at the end.
func (l *sessionList) push(s *Session) {
	s.list, s.before, s.after = l, l.last, nil
	if s.before != nil {
		s.before.after = s
	} else {
		l.first = s
	}
	l.last = s
	l.n.Add(1)
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
	s.list, s.before, s.after = nil, nil, nil
	l.n.Add(-1)
}

func (l *sessionList) len() int { return int(l.n.Load()) }
