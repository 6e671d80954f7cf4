package fakemysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// standard answers what drivers ask when they connect, and what every server
// understands. sql is in canonical form.
func (s *scriptSession) standard(ctx context.Context, sql string) Reply {
	switch word, rest, _ := strings.Cut(sql, " "); word {
	case "begin", "start":
		s.inTransaction = true
		return OK(0, 0)
	case "commit":
		s.inTransaction = false
		return OK(0, 0)
	case "rollback":
		if !strings.HasPrefix(rest, "to ") {
			s.inTransaction = false
		}
		return OK(0, 0)
	case "set":
		s.setAutocommit(rest)
		return OK(0, 0)
	case "use", "do":
		return OK(0, 0)
	case "kill":
		return s.kill(rest)
	case "select":
		if reply := s.selection(ctx, rest); len(reply.Results) > 0 {
			return reply
		}
	}
	return Fail(1064, "42000", fmt.Sprintf("fakemysql: no answer to %q", sql))
}

// setAutocommit takes note of SET autocommit=0 and its opposite, which commits.
func (s *scriptSession) setAutocommit(assignment string) {
	switch strings.ReplaceAll(strings.TrimPrefix(assignment, "session "), " ", "") {
	case "autocommit=0", "autocommit=off", "@@autocommit=0":
		s.noAutocommit = true
	case "autocommit=1", "autocommit=on", "@@autocommit=1":
		s.noAutocommit, s.inTransaction = false, false
	}
}

// kill carries out KILL [CONNECTION | QUERY] id.
func (s *scriptSession) kill(rest string) Reply {
	target, queryOnly := strings.CutPrefix(rest, "query ")
	target = strings.TrimPrefix(target, "connection ")
	id, err := strconv.ParseUint(target, 10, 32)
	if err != nil || !s.info.Kill(uint32(id), queryOnly) {
		return Fail(1094, "HY000", "Unknown thread id: "+target)
	}
	return OK(0, 0)
}

// selection answers the SELECTs of the standard.
func (s *scriptSession) selection(ctx context.Context, what string) Reply {
	switch what {
	case "1":
		return Rows([]Column{Int("1")}, []any{1})
	case "connection_id()":
		return Rows([]Column{Int("CONNECTION_ID()")}, []any{s.info.ID})
	case "@@max_allowed_packet":
		return Rows([]Column{Int("@@max_allowed_packet")}, []any{s.info.MaxPacket})
	case "@@version":
		return Rows([]Column{Text("@@version")}, []any{s.info.Version})
	}
	seconds, ok := strings.CutPrefix(what, "sleep(")
	if !ok {
		return Reply{}
	}
	f, err := strconv.ParseFloat(strings.TrimSuffix(seconds, ")"), 64)
	if err != nil {
		return Reply{}
	}
	return sleep(ctx, time.Duration(f*float64(time.Second)))
}

// sleep answers as SLEEP does: 0, and 1 where KILL QUERY woke it up, which is no
// error.
func sleep(ctx context.Context, d time.Duration) Reply {
	result := 0
	if !Delay(ctx, d) {
		if !errors.Is(context.Cause(ctx), ErrKilledQuery) {
			return Reply{Results: []Result{{Err: Interrupted()}}}
		}
		result = 1
	}
	return Rows([]Column{Int("SLEEP()")}, []any{result})
}
