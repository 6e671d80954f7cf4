package topology

import "time"

// Freshness of lags
//
// What a reader's lag was some time ago says nothing about now, and answers can fail to
// come while nobody is suspected: the server has too many connections, or the user lost a
// grant. So a snapshot has for each lag the time at which it was seen, and a lag that
// nobody has seen for three polls is not known any more, whether an answer came or not.
// Without a writer nobody falls back: then lags do not get old, but are known until there is one. One that
// was drained is the writer still, for all others.
//
// In a status table a row that stands still is not news, however often it is read. What
// is compared is the row's time to itself, never to a clock of ours, as clocks differ. A row
// whose time is that of something else, such as a group's view, which lasts for as long as
// nobody comes or goes, says so (Member.Live).

const (
	// lagPolls is for how many steady polls a lag is as good as new.
	lagPolls = 3
	// lagLeast is how long it is at least: nobody says how often Aurora renews its rows, and
	// replicas count in whole seconds.
	lagLeast = 3 * time.Second
)

// lagLife is how long a lag is known.
func (cfg *Config) lagLife() time.Duration { return max(lagPolls*cfg.Interval, lagLeast) }

// LagLife is how long what was heard of the cluster is good: three polls, 3s at least.
func (m *Monitor) LagLife() time.Duration { return m.cfg.lagLife() }

// written reports whether there is a writer that somebody may be writing to.
func (s *Snapshot) written() bool {
	return s.writer >= 0 && s.writer < len(s.Instances) && s.Instances[s.writer].State == StateUp && !s.held
}

// age forgets the lags that were seen at limit or before. Those of no limit do not get old.
func (d *draft) age(limit time.Time) {
	if limit.IsZero() || !d.current().written() {
		return
	}
	for i := range d.current().Instances {
		in := &d.current().Instances[i]
		if in.behind.known && !in.behind.seen.After(limit) {
			in = d.instance(in.ID)
			in.behind.known = false
		}
		if in.LagKnown && !in.LagSeen.After(limit) {
			in = d.instance(in.ID)
			in.Lag, in.LagKnown = 0, false
		}
	}
}

// oldestLag is when the lag was seen that is the first to get too old, zero if none is known.
func (s *Snapshot) oldestLag() time.Time {
	var oldest time.Time
	if !s.written() {
		return oldest
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		if in.LagKnown && (oldest.IsZero() || in.LagSeen.Before(oldest)) {
			oldest = in.LagSeen
		}
		if in.behind.known && (oldest.IsZero() || in.behind.seen.Before(oldest)) {
			oldest = in.behind.seen
		}
	}
	return oldest
}

// sameRow reports whether a row has not been renewed.
func (m Member) sameRow(before Member) bool {
	return m.Updated.Equal(before.Updated) && m.Lag == before.Lag && m.LagKnown == before.LagKnown && m.CPU == before.CPU
}

// seen is when what a row says of an instance was news.
func (in *Instance) seen(o observation, m Member) time.Time {
	switch {
	case m.Updated.IsZero(), m.Live, in.row.ID != "" && !m.sameRow(in.row):
		return o.at
	case in.row.ID != "":
		return in.LagSeen
	}
	// The first time nobody knows whether it stands still: so its age counts, by the row of
	// the one that answers. If only the clocks differ the next poll mends it.
	now := o.report.newest()
	for _, self := range o.report.Members {
		if self.ID == o.report.ID && !self.Updated.IsZero() {
			now = self.Updated
		}
	}
	return o.at.Add(-max(now.Sub(m.Updated), 0))
}
