package topology

import "fmt"

// Drain takes an instance out of use: nothing new is to go to it. That ends with
// [Monitor.Undrain], when it takes another role, and when it was down. It fails before the first
// [Monitor.Discover] and for an instance that there is not.
func (m *Monitor) Drain(id string) error { return m.direct(id, true) }

// Undrain ends a [Monitor.Drain].
func (m *Monitor) Undrain(id string) error { return m.direct(id, false) }

func (m *Monitor) direct(id string, drain bool) error {
	s := m.Snapshot()
	if s.Lookup(id) == nil {
		return fmt.Errorf("failoverproxy: %s is no instance of the cluster: %s", shownAddr(id), s)
	}
	m.observe(observation{kind: directed, id: id, drain: drain})
	m.rouse()
	return nil
}

// direct notes what an operator wants.
func (d *draft) direct(id string, drain bool) {
	in := d.current().Lookup(id)
	if in == nil || in.Drained == drain {
		return
	}
	d.instance(id).Drained = drain
	kind := InstanceUndrained
	if drain {
		kind = InstanceDrained
	}
	d.event(Event{Kind: kind, Instance: id})
}
