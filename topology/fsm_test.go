package topology

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what step does into testdata/fsm, to be read before it is believed")

// A scenario in testdata/fsm/*.txt is a title, then observations, each with the
// snapshot (=) and the events (!) after it:
//
//	# the title
//	static a b            the configured hosts; a cluster without this line has none
//	answer a writer at 10 sees a*@10 b@9 c@9/20ms
//	= epoch 1: a writer up, b reader up, c reader up
//	! instance added: a; ...
//	begin p               draws a ticket for a probe that is answered later
//	answer b reader began p
//	fail a began p
//	suspect a silent epoch 1
//
// "at 10" is the table's time of the answering instance's own row as the writer's,
// "a*@10" a row: * marks the writer's, @ its time in seconds, / the lag, and
// "b=other" another address than b's own. "via x" answers at another address than
// the instance's own, "asked a" in place of instance a, "aside" for Monitor.Probe, "spare" a writer among several.
//
// In a replication (a line "replication a b c" in place of "static"), "from a" is a source,
// "from ?" one that the instance was not connected to since it was started, "has a:1-9" the transactions, "lag 2s" the lag, "adrift" the loss of the source, "is x"
// another server than the one of that name, "on host", before the others, one of MariaDB.
// So it is after a line "multiAZCluster", where members are listed: "sees a* b* c*".
//
// "hold" and "release" are a blue/green switchover's, "abandon" is its end for blue, and "switch a writer sees
// a* b" an answer of green's.
//
// In a scenario with a line "lags" the readers' lags (~) follow the snapshot. "later 2s" lets
// time pass, with polls every 5 s.
func TestStep(t *testing.T) {
	files, err := filepath.Glob("testdata/fsm/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	scenarios := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := &player{}
		for n, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			p.play(t, fmt.Sprintf("%s:%d", filepath.Base(file), n+1), strings.TrimSpace(line))
		}
		p.check(t)
		scenarios += p.scenarios
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(p.out, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if scenarios < 25 {
		t.Fatalf("%d scenarios in testdata/fsm, want 25 at least", scenarios)
	}
}

// player plays scenarios.
type player struct {
	scenarios int
	snapshot  *Snapshot
	ticket    uint64
	began     map[string]uint64
	clock     time.Time
	lags      bool // to be shown
	out       []string

	where, step string // of the observation last made
	want, got   []string
}

func (p *player) play(t *testing.T, where, line string) {
	word, rest, _ := strings.Cut(line, " ")
	if word != "=" && word != "!" && word != "~" {
		p.check(t)
		p.out = append(p.out, line)
	}
	switch word {
	case "":
	case "=", "!", "~":
		p.want = append(p.want, line)
	case "#":
		p.scenarios++
		p.snapshot, p.ticket, p.began = first("test", nil), 0, make(map[string]uint64)
		p.step, p.lags, p.clock = "", false, time.Unix(1e6, 0)
	case "lags":
		p.lags = true
	case "later":
		d, err := time.ParseDuration(rest)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		p.clock = p.clock.Add(d)
		p.ticket++
		p.observe(t, where, line, observation{kind: aged, now: p.ticket})
	case "hold", "release", "abandon":
		kind := held
		if word == "abandon" {
			kind = abandoned
		}
		p.ticket++
		p.observe(t, where, line, observation{kind: kind, now: p.ticket, hold: word == "hold"})
	case "switch": // to the cluster of an instance that answers
		o, err := p.parse("answer", strings.Fields(rest))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		o.kind = switched
		p.observe(t, where, line, o)
	case "static":
		var members []Member
		for i, id := range strings.Fields(rest) {
			members = append(members, Member{ID: id, Addr: id, Writer: i == 0})
		}
		p.snapshot = first("static", members)
	case "replication":
		p.snapshot = first(replicationName, newReplication(Config{Seeds: strings.Fields(rest)}).Members())
	case "multiAZCluster":
		p.snapshot = first(multiAZName, nil)
	case "begin":
		p.ticket++
		p.began[rest] = p.ticket
	default:
		o, err := p.parse(word, strings.Fields(rest))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		p.observe(t, where, line, o)
	}
}

// observe makes an observation and notes what comes of it.
func (p *player) observe(t *testing.T, where, line string, o observation) {
	before := deepCopy(p.snapshot)
	old := p.snapshot
	o.old = p.clock.Add(-(&Config{Interval: 5 * time.Second}).lagLife())
	next, events := step(old, o)
	if !slices.Equal(before.Instances, old.Instances) || before.Epoch != old.Epoch || before.Version != old.Version {
		t.Errorf("%s: step changed the snapshot that it was given", where)
	}
	if o.kind == switched { // to somebody else, whatever the name
		old = before
		old.lastWriter = ""
	}
	checkInvariants(t, old, next, events)
	p.snapshot, p.where, p.step = next, where, line
	p.got = []string{"= " + next.String()}
	if p.lags {
		p.got = append(p.got, "~ "+shownLags(next))
	}
	if len(events) > 0 {
		texts := make([]string, len(events))
		for i, e := range events {
			texts[i] = e.String()
		}
		p.got = append(p.got, "! "+strings.Join(texts, "; "))
	}
}

// shownLags are the lags of the readers.
func shownLags(s *Snapshot) string {
	var lags []string
	for _, in := range s.Instances {
		switch {
		case in.Role != Reader:
		case in.LagKnown:
			lags = append(lags, in.ID+" "+in.Lag.String())
		default:
			lags = append(lags, in.ID+" unknown")
		}
	}
	return cmp.Or(strings.Join(lags, ", "), "no readers")
}

// check compares what was expected of the last observation with what came.
func (p *player) check(t *testing.T) {
	if p.step != "" {
		p.out = append(p.out, p.got...)
		if !*update && !slices.Equal(p.got, p.want) {
			t.Errorf("%s: %s\ngot  %s\nwant %s", p.where, p.step, strings.Join(p.got, "\n     "), strings.Join(p.want, "\n     "))
		}
	}
	p.step, p.want, p.got = "", nil, nil
}

var reasonNames = map[string]Reason{
	"lost": ReasonConnectionLost, "connect": ReasonConnect, "readonly": ReasonReadOnly,
	"goodbye": ReasonGoodbye, "silent": ReasonSilence,
}

// parse reads an observation.
func (p *player) parse(kind string, words []string) (observation, error) {
	p.ticket++
	o := observation{ticket: p.ticket, epoch: p.snapshot.Epoch, at: p.clock}
	id := words[0]
	words = words[1:]
	o.addr = id
	if in := p.snapshot.Lookup(id); in != nil {
		o.addr = in.Addr
	}
	switch kind {
	case "answer":
		o.report.ID, o.report.Addr = id, id
		o.report.Role = map[string]Role{"writer": Writer, "reader": Reader}[words[0]]
		o.report.ReadOnly = o.report.Role == Reader
		words = words[1:]
		if p.snapshot.lineal() {
			o.report.Lineage = &Lineage{Self: Server{UUID: id}}
		}
	case "fail":
		o.kind, o.id, o.cause = failed, id, errors.New("refused")
	case "suspect":
		o.kind, o.id, o.reason = suspected, id, reasonNames[words[0]]
		words = words[1:]
	default:
		return o, fmt.Errorf("unknown observation %q", kind)
	}
	for len(words) > 0 {
		n, err := p.option(&o, words)
		if err != nil {
			return o, err
		}
		words = words[n:]
	}
	p.ticket++
	o.now = p.ticket
	return o, nil
}

// option reads one option of an observation and says how many words it had.
func (p *player) option(o *observation, words []string) (int, error) {
	switch words[0] {
	case "aside":
		o.aside = true
		return 1, nil
	case "spare":
		o.report.Spare = true
		return 1, nil
	case "adrift":
		o.report.Lineage.Adrift = true
		return 1, nil
	}
	if len(words) < 2 {
		return 0, fmt.Errorf("option %q without a value", words[0])
	}
	var err error
	switch words[0] {
	case "began":
		var ok bool
		if o.ticket, ok = p.began[words[1]]; !ok {
			err = fmt.Errorf("no probe %q was begun", words[1])
		}
	case "epoch":
		o.epoch, err = strconv.ParseUint(words[1], 10, 64)
	case "via":
		o.addr = words[1]
	case "asked":
		o.id, o.addr = words[1], words[1]
	case "from":
		source := Server{UUID: words[1]}
		if words[1] == "?" {
			source = Server{Addr: "elsewhere", Number: "0"}
		} else if o.report.Lineage.Self.UUID == "" {
			source = Server{Number: words[1]}
		}
		o.report.Lineage.Sources = append(o.report.Lineage.Sources, source)
	case "has":
		o.report.Lineage.History = words[1]
	case "on":
		o.report.Lineage.Self = Server{Number: o.report.ID, Addr: words[1]}
	case "is":
		o.report.Lineage.Self.UUID = words[1]
	case "lag":
		o.report.LagKnown = true
		o.report.Lag, err = time.ParseDuration(words[1])
	case "at":
		o.report.Proof, err = parseAt(words[1])
	case "sees":
		for _, w := range words[1:] {
			m, err := parseMember(w)
			if err != nil {
				return 0, err
			}
			o.report.Members = append(o.report.Members, m)
		}
		return len(words), nil
	default:
		err = fmt.Errorf("unknown option %q", words[0])
	}
	return 2, err
}

// parseMember reads id[=addr][*][@seconds][/lag].
func parseMember(s string) (Member, error) {
	var m Member
	var err error
	s, lag, ok := strings.Cut(s, "/")
	if ok {
		m.LagKnown = true
		if m.Lag, err = time.ParseDuration(lag); err != nil {
			return m, err
		}
	}
	s, at, ok := strings.Cut(s, "@")
	if ok {
		if m.Updated, err = parseAt(at); err != nil {
			return m, err
		}
	}
	s, m.Writer = strings.CutSuffix(s, "*")
	if m.ID, m.Addr, ok = strings.Cut(s, "="); !ok {
		m.Addr = m.ID
	}
	return m, nil
}

func parseAt(s string) (time.Time, error) {
	seconds, err := strconv.ParseFloat(s, 64)
	return time.Unix(0, int64(seconds*1e9)).UTC(), err
}

func deepCopy(s *Snapshot) *Snapshot {
	c := *s
	c.Instances = slices.Clone(s.Instances)
	return &c
}

// checkInvariants checks what must be true of every step.
func checkInvariants(t *testing.T, old, next *Snapshot, events []Event) {
	t.Helper()
	writers := 0
	for i, in := range next.Instances {
		if in.Role == Writer {
			writers++
			if next.writer != i {
				t.Errorf("writer's index is %d, the writer is at %d: %s", next.writer, i, next)
			}
		}
		if i > 0 && next.Instances[i-1].ID >= in.ID {
			t.Errorf("instances are not sorted or not unique: %s", next)
		}
		if in.Since > next.Epoch || in.Role == Writer && in.pretends {
			t.Errorf("nonsense in %+v", in)
		}
	}
	if writers > 1 || writers == 0 && next.writer != -1 {
		t.Errorf("%d writers, index %d: %s", writers, next.writer, next)
	}
	members := slices.EqualFunc(old.Instances, next.Instances, sameMember)
	wantEpoch := old.Epoch
	if next != old && (old.Epoch == 0 || !members || reigning(old) != reigning(next)) {
		wantEpoch++
	}
	if next.Epoch != wantEpoch {
		t.Errorf("epoch %d after %d, want %d: %s -> %s", next.Epoch, old.Epoch, wantEpoch, old, next)
	}
	visible := next.Epoch != old.Epoch || len(events) > 0 || !slices.EqualFunc(old.Instances, next.Instances, looksSame)
	if visible != (next.Version == old.Version+1) || !visible && next.Version != old.Version {
		t.Errorf("version %d after %d: %s -> %s, events %v", next.Version, old.Version, old, next, events)
	}
	checkWriterEvents(t, old, next, events)
}

// checkWriterEvents checks that the events tell of every change of the usable writer.
func checkWriterEvents(t *testing.T, old, next *Snapshot, events []Event) {
	t.Helper()
	var want []Event
	before, now := old.Writer(), next.Writer()
	switch {
	case now != nil && (now.ID != old.lastWriter || now.lineage != nil && (old.Lookup(now.ID) == nil || old.Lookup(now.ID).lineage == nil)): // or another server at its address
		want = []Event{{Kind: WriterChanged, Instance: now.ID}}
	case now != nil && before == nil:
		want = []Event{{Kind: WriterBack, Instance: now.ID}}
	case now == nil && before != nil:
		want = []Event{{Kind: WriterLost, Instance: before.ID}}
	}
	var got []Event
	for _, e := range events {
		if e.Kind == WriterChanged || e.Kind == WriterBack || e.Kind == WriterLost {
			got = append(got, e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events of the writer %v, want %v: %s -> %s", got, want, old, next)
	}
}
