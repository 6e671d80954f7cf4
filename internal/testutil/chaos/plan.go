package chaos

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// Plan is what one run does. It is data, and JSON can hold it.
type Plan struct {
	Seed      uint64
	Instances int
	Latency   time.Duration `json:",omitempty"` // of every statement
	Driver    Driver
	Pause     time.Duration // of a session between its operations, on average
	Load      []Load
	Steps     []Step
}

// Driver are the driver's parameters.
type Driver struct {
	PoolSize          int
	PoolMaxIdle       int
	ConnectConcurrent int
	GateSize          int
	PreparedCache     int
	FailoverTimeout   time.Duration
	BorrowTimeout     time.Duration
	ProbeInterval     time.Duration
	ProbeIntervalFast time.Duration
	ProbeTimeout      time.Duration
	StallTimeout      time.Duration
	Target            string `json:",omitempty"` // "" = the writer
	SessionMode       bool   `json:",omitempty"`
	SessionReset      bool   `json:",omitempty"`
	NoRetryReads      bool   `json:",omitempty"`
	NoCancelQuery     bool   `json:",omitempty"`
	Interpolate       bool   `json:",omitempty"`
	InitQuery         string `json:",omitempty"`
	// Extra are further parameters of the DSN.
	Extra string `json:",omitempty"`
}

// Params is the part of the DSN behind the question mark.
func (d Driver) Params() string {
	onOff := func(off bool) string {
		if off {
			return "off"
		}
		return "on"
	}
	mode := "transaction"
	if d.SessionMode {
		mode = "session"
	}
	p := fmt.Sprintf("fpPoolSize=%d&fpPoolMaxIdle=%d&fpConnectConcurrency=%d&fpGateSize=%d&fpPreparedCache=%d"+
		"&fpFailoverTimeout=%s&fpBorrowTimeout=%s&fpProbeInterval=%s&fpProbeIntervalFast=%s&fpProbeTimeout=%s&fpStallTimeout=%s"+
		"&fpPoolMode=%s&fpSessionReset=%s&fpRetryReads=%s&fpCancelQuery=%s&interpolateParams=%t",
		d.PoolSize, d.PoolMaxIdle, d.ConnectConcurrent, d.GateSize, d.PreparedCache,
		d.FailoverTimeout, d.BorrowTimeout, d.ProbeInterval, d.ProbeIntervalFast, d.ProbeTimeout, d.StallTimeout,
		mode, onOff(!d.SessionReset), onOff(d.NoRetryReads), onOff(d.NoCancelQuery), d.Interpolate)
	if d.Target != "" {
		p += "&fpTarget=" + d.Target
	}
	if d.InitQuery != "" {
		p += "&fpInitQuery=" + url.QueryEscape(d.InitQuery)
	}
	if d.Extra != "" {
		p += "&" + d.Extra
	}
	return p
}

// Load is so many sessions of one kind.
type Load struct {
	Kind     Kind
	Sessions int
}

// sessions is how many there are of all kinds.
func (p Plan) sessions() int {
	n := 0
	for _, l := range p.Load {
		n += l.Sessions
	}
	return n
}

// Step is one thing that happens.
type Step struct {
	At  time.Duration // since the beginning
	Act Act
	// On is "writer", "reader", or an instance's number; they are looked up when the
	// step comes. Of NoName it may be "endpoint".
	On  string        `json:",omitempty"`
	Aim Aim           `json:",omitempty"` // which statement it hits
	N   int           `json:",omitempty"` // an error's number, or packets
	For time.Duration `json:",omitempty"` // until it is over
	// Skip lets so many statements pass that it could hit.
	Skip     int                 `json:",omitempty"`
	Failover *aurorasim.Failover `json:",omitempty"`
}

// end is when everything is over that the step does.
func (s Step) end() time.Duration {
	end := s.At + s.For
	if f := s.Failover; f != nil {
		end += f.PromoteAfter + max(f.RestartAfter, 0) + f.BelievesWriter + max(f.DNSAfter, f.StaleViews)
	}
	return end
}

// end is when the last step is over.
func (p Plan) end() (end time.Duration) {
	for _, s := range p.Steps {
		end = max(end, s.end())
	}
	return end
}

// String is the plan for people.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d instances", p.Seed, p.Instances)
	if p.Latency > 0 {
		fmt.Fprintf(&b, ", each statement takes %v", p.Latency)
	}
	fmt.Fprintf(&b, "\n  driver  %s\n  load   ", strings.ReplaceAll(p.Driver.Params(), "&", " "))
	for _, l := range p.Load {
		fmt.Fprintf(&b, " %d×%s", l.Sessions, l.Kind)
	}
	fmt.Fprintf(&b, ", pauses of %v\n", p.Pause)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "  %8v  %s\n", s.At, s)
	}
	return b.String()
}

// String is the step for people, without its time.
func (s Step) String() string {
	var b strings.Builder
	b.WriteString(string(s.Act))
	if s.On != "" {
		b.WriteString(" on " + s.On)
	}
	if s.N != 0 {
		fmt.Fprintf(&b, " (%d)", s.N)
	}
	if s.Aim != "" {
		b.WriteString(" at " + string(s.Aim))
	}
	if s.Skip > 0 {
		fmt.Fprintf(&b, " but for the first %d", s.Skip)
	}
	if s.For > 0 {
		fmt.Fprintf(&b, " for %v", s.For)
	}
	if f := s.Failover; f != nil {
		fmt.Fprintf(&b, " %v, promotion after %v, restart %v, names %v later", f.Kind, f.PromoteAfter, f.RestartAfter, f.DNSAfter)
		for _, o := range []struct {
			on   bool
			what string
		}{
			{f.KeepConnections, "connections stay"},
			{f.DropPromoted, "the promoted one's connections end"},
			{f.DropRow, "its row goes"},
			{f.StaleViews > 0, fmt.Sprintf("views are stale for %v", f.StaleViews)},
			{f.BelievesWriter > 0, fmt.Sprintf("it believes to be the writer for %v", f.BelievesWriter)},
		} {
			if o.on {
				b.WriteString(", " + o.what)
			}
		}
	}
	return b.String()
}

// JSON is the plan for [Parse].
func (p Plan) JSON() string {
	b, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Parse reads a plan that JSON wrote.
func Parse(text string) (p Plan, err error) {
	err = json.Unmarshal([]byte(text), &p)
	return p, err
}
