package chaos_test

import (
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/testutil/chaos"
)

// A plan of a seed is always the same, and Shrink leaves of it what a failure needs.
func ExampleShrink() {
	p := chaos.Options{}.Generate(19)
	fails := func(p chaos.Plan) bool { // temporary tables do not survive a failover, say
		temporary, failover := false, false
		for _, l := range p.Load {
			temporary = temporary || l.Kind == chaos.Temporary
		}
		for _, s := range p.Steps {
			failover = failover || s.Act == chaos.Failover
		}
		return temporary && failover
	}
	for seed := uint64(1); !fails(p); seed++ {
		p = chaos.Options{}.Generate(seed)
	}
	p = chaos.Shrink(p, fails, func() bool { return true })
	fmt.Println(p.Load, len(p.Steps), p.Steps[0].Act)
	// Output:
	// [{temporary 1}] 1 failover
}
