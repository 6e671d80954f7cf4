package mysqld

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(runChild(role))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		StopShared()
		os.Exit(code)
	}), goleak.IgnoreAnyFunction(RunFunction))
}
