package topology

import (
	"log/slog"
	"strings"
	"unicode/utf8"
)

// change is what the hooks are told of.
type change struct {
	old, new *Snapshot
	events   []Event
	probe    *Probe // instead
}

func (m *Monitor) tellLocked(c change) {
	m.changes = append(m.changes, c)
	signal(m.news)
}

// warn tells the hooks and the log of something that changes no snapshot.
func (m *Monitor) warn(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.snapshot.Load()
	m.tellLocked(change{old: s, new: s, events: []Event{e}})
}

// probed tells the hook of a probe.
func (m *Monitor) probed(p Probe) {
	if m.cfg.Hooks.Probed == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tellLocked(change{probe: &p})
}

// herald tells the log and the hooks of changes as they come.
func (m *Monitor) herald() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.news:
			m.tell()
		}
	}
}

// tell tells the log and the hooks what they were not told yet, in order. Only one
// goroutine at a time calls it.
func (m *Monitor) tell() {
	m.mu.Lock()
	changes := m.changes
	m.changes = nil
	m.mu.Unlock()
	for _, c := range changes {
		if c.probe != nil {
			m.cfg.Hooks.Probed(*c.probe)
			continue
		}
		for _, e := range c.events {
			m.log(e, c.new)
		}
		if f := m.cfg.Hooks.SnapshotChanged; f != nil {
			f(c.old, c.new, c.events)
		}
	}
}

func (m *Monitor) log(e Event, s *Snapshot) {
	level := slog.LevelInfo
	if e.Kind == InstanceDown || e.Kind == WriterLost || e.Kind == Warning {
		level = slog.LevelWarn
	}
	attributes := []slog.Attr{slog.Uint64("epoch", s.Epoch)}
	if e.Instance != "" {
		attributes = append(attributes, slog.String("instance", e.Instance))
	}
	if e.Kind == InstanceSuspected {
		attributes = append(attributes, slog.String("reason", e.Reason.String()))
	}
	if e.Detail != "" {
		attributes = append(attributes, slog.String("detail", e.Detail))
	}
	if e.Cause != nil {
		attributes = append(attributes, slog.String("error", Shown(e.Cause)))
	}
	m.cfg.Logger.LogAttrs(m.ctx, level, "failoverproxy: "+e.Kind.String(), attributes...)
}

// clean makes a server's text fit for a log: one line of printable characters, not
// longer than limit bytes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029':
			return ' '
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Shown is an error's text fit for a log: one line, not too long.
func Shown(err error) string { return clean(err.Error(), shownError) }

const shownError = 300

// shownAddr is what a caller named, fit for an error.
func shownAddr(s string) string { return clean(s, 80) }
