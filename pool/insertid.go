package pool

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
)

// LAST_INSERT_ID() belongs to a session until it inserts again, whatever else happens,
// but the server keeps it with the connection. The number in an OK packet is not
// always it: that of an INSERT with an explicit value is the value, and
// LAST_INSERT_ID() stays what it was (MySQL manual, "Information Functions"). So the
// number is a hint only; what the connection answers settles it.
type insertID struct {
	value uint64 // as far as it was learned
	gone  bool   // nobody knows it
	// version grows with every change of LAST_INSERT_ID(), so that a connection that
	// answered for the session once is not taken to do so still.
	version uint64
	unread  bool     // it changed since it was learned
	cleared bool     // it was gone and 0 since: anything else is the session's
	hints   []uint64 // numbers since, on a connection that is not the session's own
}

// maxHints bounds them. Beyond that an explicit value cannot be told from a lost number.
const maxHints = 32

// ErrAnswerGone: see [Session.OwnInsertID].
var ErrAnswerGone = errors.New("the answer went with the session's last connection")

// owns reports whether the connection answers LAST_INSERT_ID() for the session.
func (c *connection) owns(s *Session) bool { return c.idOwner == s && c.idVersion == s.id.version }

// own makes it so.
func (c *connection) own(s *Session) { c.idOwner, c.idVersion, c.idUsed = s, s.id.version, true }

// Inserted notes the number in the OK packet of a statement on the session's lease.
func (s *Session) Inserted(id int64) {
	if id == 0 {
		return
	}
	if s.changedID() {
		return
	}
	if len(s.id.hints) == maxHints {
		s.id.hints = s.id.hints[1:]
		s.id.gone = true
	}
	s.id.hints = append(s.id.hints, uint64(id))
}

// changedID notes that LAST_INSERT_ID() may have changed on the lease, and reports whether
// the connection was the session's own in this: then it still is. Otherwise it answers for
// the session, or for the one before it.
func (s *Session) changedID() (own bool) {
	c := s.res.Value()
	own = c.owns(s)
	s.id.version++
	s.id.unread = true
	if own {
		c.own(s)
	} else {
		c.idOwner, c.idUsed = nil, true
	}
	return own
}

// TookInsertID notes that a statement may have set LAST_INSERT_ID() on a lease whose
// connection was the session's own in this.
func (s *Session) TookInsertID() {
	s.changedID()
	s.res.Value().own(s)
}

// MayHaveInserted notes that a statement failed which may have set LAST_INSERT_ID() before:
// servers leave it so, and say nothing.
func (s *Session) MayHaveInserted() {
	if !s.changedID() {
		s.id.hints, s.id.unread, s.id.gone = nil, false, true
	}
}

// OwnInsertID makes LAST_INSERT_ID() on the lease's connection the session's own. It
// takes no round trip if it is. It returns [ErrAnswerGone] if nobody knows it any more,
// or if it cannot be found out without touching what else the last statement left
// (quiet).
func (s *Session) OwnInsertID(ctx context.Context, quiet bool) error {
	c := s.res.Value()
	if c.owns(s) && !s.id.cleared {
		return nil
	}
	if quiet {
		return ErrAnswerGone
	}
	if s.id.unread {
		values, err := c.Ask(ctx, "SELECT LAST_INSERT_ID()")
		if err != nil {
			return err
		}
		s.learnID(c, values[0])
		if c.owns(s) {
			return nil
		}
	}
	if s.id.gone {
		return ErrAnswerGone
	}
	if err := c.Run(ctx, "SET last_insert_id = "+strconv.FormatUint(s.id.value, 10)); err != nil {
		return err
	}
	c.own(s)
	return nil
}

// learnID takes in what the connection answers for LAST_INSERT_ID().
func (s *Session) learnID(c *connection, answer driver.Value) {
	var id uint64
	switch v := answer.(type) {
	case uint64:
		id = v
	case int64:
		id = uint64(v)
	}
	if s.id.cleared && id == 0 {
		c.idOwner = nil // still nobody's
	}
	if c.owns(s) || slices.Contains(s.id.hints, id) {
		s.id.value, s.id.gone = id, false
		c.own(s)
	}
	s.id.hints, s.id.unread, s.id.cleared = nil, false, false
}

// ClearInsertID makes LAST_INSERT_ID() 0 on the lease's connection, because nobody knows what it
// was and the next statement may change it unseen: if it is another number then, it is the
// session's. [Session.TookInsertID] is to follow.
func (s *Session) ClearInsertID(ctx context.Context) error {
	c := s.res.Value()
	if err := c.Run(ctx, "SET last_insert_id = 0"); err != nil {
		return err
	}
	c.idOwner, c.idUsed, s.id.cleared = nil, true, true
	return nil
}

// forgetID gives LAST_INSERT_ID() up, if it changed since it was learned: for a session at
// rest it is worth no question.
func (s *Session) forgetID() {
	if s.id.unread {
		s.id.hints, s.id.unread, s.id.gone = nil, false, true
	}
}

// resetID makes it that of a new session.
func (s *Session) resetID() { s.id = insertID{version: s.id.version + 1} }
