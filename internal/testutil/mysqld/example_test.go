package mysqld_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// A server that is not there comes with the way to get it.
func ExampleFind() {
	before := os.Getenv(mysqld.EnvMySQLRoot)
	os.Setenv(mysqld.EnvMySQLRoot, "/nowhere")
	defer os.Setenv(mysqld.EnvMySQLRoot, before)

	_, err := mysqld.Find(mysqld.FlavorMySQL)
	fmt.Println(errors.Is(err, mysqld.ErrMissing))
	fmt.Println(err)
	// Output:
	// true
	// mysqld: mysql server not installed: no /nowhere/usr/sbin/mysqld; get it with scripts/install-servers (as root)
}
