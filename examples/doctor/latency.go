package main

import (
	"fmt"
	"slices"
	"time"
)

// far is a round trip of another region's.
const far = 20 * time.Millisecond

// checkLatency judges by medians: one slow round trip is nobody's fault.
func checkLatency(f *facts) []finding {
	return f.each("latency", "", func(in *instance) []finding {
		connect, trip := median(in.connects), median(in.pings)
		one := finding{Level: ok, Text: fmt.Sprintf("connect %s, round trip %s at least, %s in the median", shown(connect), shown(slices.Min(in.pings)), shown(trip))}
		switch {
		case connect+trip >= f.cfg.ProbeTimeout:
			one.Level = fail
			one.Text += fmt.Sprintf(": a probe would not be over within fpProbeTimeout (%s)", f.cfg.ProbeTimeout)
			one.Advice = fmt.Sprintf("fpProbeTimeout=%s", (3 * (connect + trip)).Round(time.Second/10))
		case connect+trip >= f.cfg.ProbeTimeout/2:
			one.Level = warn
			one.Text += fmt.Sprintf(": a probe takes more than half of fpProbeTimeout (%s)", f.cfg.ProbeTimeout)
			one.Advice = fmt.Sprintf("fpProbeTimeout=%s", (3 * (connect + trip)).Round(time.Second/10))
		case trip >= far && f.cfg.ReaderLatencyWindow == 0 && f.nearer(trip):
			one.Level = warn
			one.Text += ": another instance is much nearer"
			one.Advice = "fpReaderLatencyWindow=5ms keeps reads near"
		}
		return []finding{one}
	})
}

// nearer reports whether an instance is much nearer than that.
func (f *facts) nearer(trip time.Duration) bool {
	return slices.ContainsFunc(f.up(), func(in *instance) bool { return 4*median(in.pings) < trip })
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func shown(d time.Duration) string { return fmt.Sprintf("%.2fms", float64(d.Microseconds())/1000) }
