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
		what := fmt.Sprintf("%s × (fpPoolSize %d, monitor %d, KILL %d)", processes(f.processes), size, monitors, beside-monitors)
		// A fleet's budget has in it what its user has open beside pools; but each process keeps one backend.
		budget, least := f.cfg.FleetMax.Of(limit), f.processes*(1+beside)
		fleet := f.cfg.FleetMax > 0 && max(budget, least) < sum
		switch {
		case fleet && least > budget:
			sum, what = least, fmt.Sprintf("%s × (1 backend at least, monitor %d, KILL %d)", processes(f.processes), monitors, beside-monitors)
		case fleet:
			sum, what = budget, fmt.Sprintf("%s with fpFleetMax %s", processes(f.processes), f.cfg.FleetMax)
		}
		one := finding{Level: ok, Text: fmt.Sprintf("%s = %d of %s %d", what, sum, name, limit)}
		if float64(sum) <= full*float64(limit) {
			return []finding{one}
		}
		one.Level = warn
		one.Text += ": little is left for others, and for a deployment that starts new processes before old ones end"
		if sum > limit {
			one.Level = fail
			one.Text = fmt.Sprintf("%s = %d, more than %s %d: under load connections are refused (1040)", what, sum, name, limit)
		}
		need := int(float64(sum)/full) + 1
		switch fits := int(full*float64(limit))/f.processes - beside; {
		case fits < 1:
			one.Advice = fmt.Sprintf("no pool fits so many processes: run fewer, or %s of %d", name, need)
		case fleet:
			one.Advice = fmt.Sprintf("fpFleetMax=%.0f%% leaves room", 100*full)
		default:
			one.Advice = fmt.Sprintf("fpPoolSize=%d fits; or %s of %d", fits, name, need)
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
