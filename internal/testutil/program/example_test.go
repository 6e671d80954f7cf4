package program_test

import (
	"context"
	"fmt"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/internal/testutil/program"
)

// A program of a seed is always the same, and Shrink leaves of it what a failure needs.
func ExampleShrink() {
	p := program.Options{Sessions: 2, Omit: []program.Kind{program.KindQuestion}}.Generate(3, 500, mysqld.FlavorMySQL)
	fails := func(c program.Program) bool { return c.Coverage()[program.KindUse] > 0 } // USE is broken, say
	fmt.Println(program.Shrink(context.Background(), p, fails))
	// Output:
	// program of seed 3 for mysql, 1 steps:
	//    0 [1] exec USE prog_3_c
}
