package program

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(mysqld.RunFunction), goleak.Cleanup(func(code int) {
		mysqld.StopShared()
		os.Exit(code)
	}))
}
