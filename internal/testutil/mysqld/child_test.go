package mysqld

import (
	"context"
	"fmt"
	"io"
	"os"
)

// childRole, in the environment, makes the test binary start a server and talk about it
// instead of running tests.
const childRole = "FAILOVERPROXY_TEST_CHILD"

// runChild starts a server of the named flavor, tells where it is and waits for the end
// of its input.
func runChild(role string) int {
	for _, f := range flavors {
		if f.String() != role {
			continue
		}
		s, err := Start(context.Background(), f, Options{})
		if err != nil {
			fmt.Println("error", err)
			return 1
		}
		fmt.Println("started", s.Addr(), s.dir)
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := s.Close(); err != nil {
			fmt.Println("error", err)
			return 1
		}
		return 0
	}
	return 2
}
