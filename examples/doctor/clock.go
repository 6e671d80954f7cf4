package main

import (
	"fmt"
	"time"
)

// Clocks that differ by more are worth a word. At more than apart TLS and IAM's tokens fail sooner or later.
const (
	differs = 2 * time.Second
	apart   = 4 * time.Minute
)

// checkClock compares the servers' clocks with this machine's. The driver needs none of them to be right;
// certificates, tokens and whoever reads logs of both do.
func checkClock(f *facts) []finding {
	return f.each("clock", "agrees with this machine's", func(in *instance) []finding {
		c := in.clock
		if !c.known {
			return []finding{{Level: skip, Text: "cannot be read"}}
		}
		off := c.ahead.Abs() - c.doubt
		if off <= differs {
			return nil
		}
		which := "ahead of"
		if c.ahead < 0 {
			which = "behind"
		}
		one := finding{
			Level: warn, Text: fmt.Sprintf("is %s %s this machine's", c.ahead.Abs().Round(time.Second), which),
			Advice: "let both follow the same time: chronyc tracking, or timedatectl, shows what they do",
		}
		if off > apart {
			one.Level = fail
			one.Text += ": certificates and IAM's tokens fail"
		}
		return []finding{one}
	})
}
