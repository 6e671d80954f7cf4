package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/failoverproxy/failoverproxy/driver"
	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/pool"
	"github.com/failoverproxy/failoverproxy/topology"
)

// view prints a cluster, as text or as JSON.
type view struct {
	out     io.Writer
	encoder *json.Encoder // nil for text
	news    news

	decided  string   // what led to the topology
	warnings []string // so far
}

func newView(o options, out io.Writer) *view {
	v := &view{out: out, news: news{come: make(chan struct{}, 1)}}
	if o.asJSON {
		v.encoder = json.NewEncoder(out)
	}
	return v
}

// news is what hooks have told and nobody has printed yet. A hook must not wait for a
// terminal: statements may be waiting for what comes after it.
type news struct {
	mu    sync.Mutex
	items []item
	come  chan struct{} // has room for one sign that there are items
}

// item is one thing that happened, as it is in JSON.
type item struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`
	Instance string    `json:"instance,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Epoch    uint64    `json:"epoch,omitempty"`

	kind     topology.EventKind
	text     string // the event in words
	snapshot string // the cluster after it, of the last of several events
}

func (n *news) add(items ...item) {
	n.mu.Lock()
	n.items = append(n.items, items...)
	n.mu.Unlock()
	select {
	case n.come <- struct{}{}:
	default:
	}
}

func (n *news) changed(s *topology.Snapshot, events []topology.Event) {
	items := make([]item, len(events))
	for i, e := range events {
		detail := e.Detail
		if e.Kind == topology.InstanceSuspected {
			detail = e.Reason.String()
		}
		if e.Cause != nil {
			detail = strings.TrimPrefix(detail+": "+topology.Shown(e.Cause), ": ")
		}
		items[i] = item{
			Time: time.Now(), Event: e.Kind.String(), Instance: e.Instance, Detail: detail, Epoch: s.Epoch,
			kind: e.Kind, text: e.String(),
		}
	}
	if len(items) > 0 {
		items[len(items)-1].snapshot = s.String()
		n.add(items...)
	}
}

func (n *news) ended(i failover.Incident) {
	n.add(item{Time: time.Now(), Event: "incident", Detail: i.String(), kind: topology.WriterBack, text: i.String()})
}

func (n *news) take() []item {
	n.mu.Lock()
	defer n.mu.Unlock()
	items := n.items
	n.items = nil
	return items
}

// watch prints news as they come, until ctx ends, or for so long.
func (v *view) watch(ctx context.Context, c *driver.Connector, length time.Duration) {
	if length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	v.tell(v.hear())
	v.show(c)
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.news.come:
			v.tell(v.hear())
		}
	}
}

// hear takes the news, and notes what is of interest later.
func (v *view) hear() []item {
	items := v.news.take()
	for _, i := range items {
		switch i.kind {
		case topology.ProviderChosen:
			v.decided = i.Detail
		case topology.Warning:
			v.warnings = append(v.warnings, i.Detail)
		default:
		}
	}
	return items
}

// tell prints what happened.
func (v *view) tell(items []item) {
	for _, i := range items {
		if v.encoder != nil {
			_ = v.encoder.Encode(i)
			continue
		}
		fmt.Fprintf(v.out, "%s %s\n", i.Time.Format(clock), i.text)
		if i.snapshot != "" {
			fmt.Fprintf(v.out, "%*s %s\n", len(clock), "", i.snapshot)
		}
	}
}

const clock = "15:04:05.000"

// cluster is what is known of one, as it is in JSON.
type cluster struct {
	Time      time.Time  `json:"time"`
	Topology  string     `json:"topology"`
	Decided   string     `json:"decided"` // what led to it
	Epoch     uint64     `json:"epoch"`
	Writer    string     `json:"writer"` // "" = there is none to use
	Warnings  []string   `json:"warnings,omitempty"`
	Instances []instance `json:"instances"`
}

// instance is one of the cluster's. What is null is not known.
type instance struct {
	ID       string   `json:"id"`
	Role     string   `json:"role"`
	State    string   `json:"state"`
	Address  string   `json:"address"`
	LagMS    *float64 `json:"lag_ms"` // of readers
	CPU      float64  `json:"cpu"`    // percent; 0 = not known
	ReadOnly bool     `json:"read_only"`
	Verified bool     `json:"verified"` // it has answered itself
	Drained  bool     `json:"drained"`
	// Of this program's own pool.
	Open        int      `json:"open"`
	InUse       int      `json:"in_use"`
	Waiting     int      `json:"waiting"`
	Size        int      `json:"size"`
	DialErrors  uint64   `json:"dial_errors"`
	RoundTripMS *float64 `json:"round_trip_ms"`
}

func (v *view) cluster(c *driver.Connector) cluster {
	s, pools := c.Snapshot(), poolsOf(c)
	shown := cluster{Time: time.Now(), Topology: s.Provider, Decided: v.decided, Epoch: s.Epoch, Warnings: v.warnings}
	if w := s.Writer(); w != nil {
		shown.Writer = w.ID
	}
	for _, in := range s.Instances {
		p := pools[in.ID]
		i := instance{
			ID: in.ID, Role: in.Role.String(), State: in.State.String(), Address: in.Addr, CPU: in.CPU,
			ReadOnly: in.ReadOnly, Verified: in.Verified > 0, Drained: in.Drained,
			Open: p.Open, InUse: p.InUse, Waiting: p.Waiting, Size: p.Size, DialErrors: p.DialErrors,
		}
		if in.Role == topology.Reader && in.LagKnown {
			i.LagMS = milliseconds(in.Lag)
		}
		if p.RoundTrip > 0 {
			i.RoundTripMS = milliseconds(p.RoundTrip)
		}
		shown.Instances = append(shown.Instances, i)
	}
	return shown
}

func milliseconds(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

// poolsOf are the pools by instance.
func poolsOf(c *driver.Connector) map[string]pool.InstanceStats {
	pools := make(map[string]pool.InstanceStats)
	for _, p := range c.Stats().Pool.Instances {
		pools[p.ID] = p
	}
	return pools
}

// show prints the cluster as it is now, after what led to it.
func (v *view) show(c *driver.Connector) {
	v.hear() // what it says led here
	s := v.cluster(c)
	if v.encoder != nil {
		_ = v.encoder.Encode(s)
		return
	}
	fmt.Fprintf(v.out, "%s\nepoch %d, writer %s\n", s.Decided, s.Epoch, cmp.Or(s.Writer, "none"))
	t := tabwriter.NewWriter(v.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "INSTANCE\tROLE\tSTATE\tLAG\tCPU\tVERIFIED\tDRAINED\tOPEN\tIN USE\tWAITING\tSIZE\tROUND TRIP\tADDRESS")
	for _, i := range s.Instances {
		lag, trip, cpu := "–", "–", "–"
		switch {
		case i.LagMS != nil:
			lag = fmt.Sprintf("%gms", *i.LagMS)
		case i.Role == topology.Reader.String():
			lag = "unknown"
		}
		switch {
		case i.RoundTripMS != nil:
			trip = fmt.Sprintf("%.3gms", *i.RoundTripMS)
		case i.DialErrors > 0:
			trip = "cannot connect"
		}
		if i.CPU > 0 {
			cpu = fmt.Sprintf("%.0f%%", i.CPU)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", i.ID, i.Role, i.State, lag, cpu,
			yes(i.Verified), yes(i.Drained), i.Open, i.InUse, i.Waiting, i.Size, trip, i.Address)
	}
	_ = t.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
