package topology

import (
	"strings"
	"testing"
	"time"
)

func TestAnswersTo(t *testing.T) {
	mysql := &Lineage{Self: Server{UUID: "u1", Number: "1", Addr: "host-a:3306"}}
	maria := &Lineage{Self: Server{Number: "1", Addr: "host-a:3306"}}
	for _, tc := range []struct {
		self   *Lineage
		source Server
		want   bool
	}{
		{mysql, Server{UUID: "u1", Number: "1", Addr: "vip:3306"}, true},
		{mysql, Server{UUID: "u2", Number: "1", Addr: "a:3306"}, false}, // the address leads elsewhere now
		{mysql, Server{Addr: "a:3306"}, true},                           // never connected
		{mysql, Server{Addr: "host-a:3306"}, true},
		{maria, Server{Number: "1", Addr: "vip:3306"}, true},
		{maria, Server{Number: "2", Addr: "a:3306"}, false},
		{maria, Server{Number: "0", Addr: "a:3306"}, true}, // never connected
		{nil, Server{UUID: "u1", Addr: "a:3306"}, true},
		{nil, Server{UUID: "u1", Addr: "b:3306"}, false},
	} {
		in := &Instance{ID: "a:3306", Addr: "a:3306", lineage: tc.self}
		if got := in.answersTo(tc.source); got != tc.want {
			t.Errorf("%+v answers to %+v: %t", tc.self, tc.source, got)
		}
	}
}

// TestReplicationLag checks whose lag counts: that of replicas of the writer.
func TestReplicationLag(t *testing.T) {
	s := first(replicationName, newReplication(Config{Seeds: randomIDs}).Members())
	var ticket uint64
	say := func(id string, role Role, source, lag string) {
		ticket += 2
		o := observation{kind: failed, id: id, addr: id, ticket: ticket, now: ticket + 1, cause: errRefused}
		if role != Unknown {
			o.kind = answered
			o.report = Report{ID: id, Role: role, Lineage: &Lineage{Self: Server{UUID: id}, Adrift: lag == "adrift"}}
			if source != "" {
				o.report.Lineage.Sources = []Server{{UUID: source}}
			}
			var err error
			o.report.Lag, err = time.ParseDuration(lag)
			o.report.LagKnown = err == nil
		}
		s, _ = step(s, o)
	}
	lags := func(want string) {
		t.Helper()
		var got []string
		for _, in := range s.Instances {
			if in.LagKnown {
				got = append(got, in.ID+" "+in.Lag.String())
			}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
	say("b", Reader, "a", "1s")
	say("c", Reader, "b", "2s")
	say("d", Reader, "a", "3s")
	lags("") // nobody is the writer
	say("a", Writer, "", "")
	lags("b 1s, c 2s, d 3s")
	say("b", Reader, "a", "broken")
	lags("d 3s") // c is behind one that is who knows how far behind
	say("b", Reader, "a", "1s")
	say("a", Unknown, "", "") // dead
	say("b", Reader, "a", "adrift")
	say("d", Reader, "a", "adrift")
	lags("b 1s, c 2s, d 3s")
	say("a", Writer, "", "") // it was not dead
	lags("")
	say("b", Reader, "a", "adrift")
	say("d", Reader, "a", "3s")
	lags("d 3s")
	say("d", Reader, "a", "adrift") // before we notice
	lags("")
	say("a", Unknown, "", "")
	lags("d 3s")
	say("b", Reader, "a", "1s")
	say("b", Reader, "a", "adrift")
	lags("b 1s, c 2s, d 3s")
	say("d", Reader, "a", "broken")
	lags("b 1s, c 2s")
	say("b", Writer, "", "")
	lags("c 2s")
	say("a", Writer, "", "") // back, and not demoted
	say("d", Reader, "a", "0s")
	lags("c 2s")
	say("d", Reader, "b", "4s")
	lags("c 2s, d 4s")
}
