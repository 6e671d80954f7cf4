package awsauth

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(mysqld.RunFunction), goleak.Cleanup(mysqld.Exit))
}
