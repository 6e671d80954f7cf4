package main

import (
	"fmt"
)

// What a process has open at most to an instance beside its pool.
const (
	monitors = 1 // in a failover one to each instance
	kills    = 4 // for KILL QUERY
)

// full is how much of max_connections there may be in use before somebody should know.
const full = 0.9

// checkCapacity adds up what all processes may have open. Any instance may be the writer tomorrow.
func checkCapacity(f *facts) []finding {
	return f.each("capacity", "", func(in *instance) []finding {
		limit, name := in.number("max_connections"), "max_connections"
		if limit == 0 {
			return []finding{{Level: skip, Text: "max_connections is not known"}}
		}
		if of := in.number("max_user_connections"); of > 0 && of < limit {
			limit, name = of, "max_user_connections"
		}
		size, beside := f.cfg.PoolSize.Of(in.number("max_connections")), f.beside()
		sum := f.processes * (size + beside)
		one := finding{Level: ok, Text: fmt.Sprintf("%s × (fpPoolSize %d, monitor %d, KILL %d) = %d of %s %d",
			processes(f.processes), size, monitors, beside-monitors, sum, name, limit)}
		if float64(sum) <= full*float64(limit) {
			return []finding{one}
		}
		one.Level = warn
		one.Text += ": little is left for others, and for a deployment that starts new processes before old ones end"
		if sum > limit {
			one.Level = fail
			one.Text = fmt.Sprintf("%s × (fpPoolSize %d, monitor %d, KILL %d) = %d, more than %s %d: under load connections are refused (1040)",
				processes(f.processes), size, monitors, beside-monitors, sum, name, limit)
		}
		need := int(float64(f.processes*(size+beside))/full) + 1
		if fits := int(full*float64(limit))/f.processes - beside; fits >= 1 {
			one.Advice = fmt.Sprintf("fpPoolSize=%d fits; or %s of %d", fits, name, need)
		} else {
			one.Advice = fmt.Sprintf("no pool fits so many processes: run fewer, or %s of %d", name, need)
		}
		return []finding{one}
	})
}

// beside is what a process may have open to an instance beside its pool.
func (f *facts) beside() int {
	if !f.cfg.CancelQuery {
		return monitors
	}
	return monitors + kills
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
