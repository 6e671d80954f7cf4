package mysqld

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Flavor is a family of servers. The zero value is no flavor.
type Flavor uint8

const (
	// FlavorMariaDB is the MariaDB server that is installed on the machine.
	FlavorMariaDB Flavor = iota + 1
	// FlavorMySQL is a MySQL server of Oracle's line, from a directory of its own.
	FlavorMySQL
)

var flavors = [...]Flavor{FlavorMariaDB, FlavorMySQL}

// String returns "mariadb" or "mysql": the names of the subtests of [Each].
func (f Flavor) String() string {
	switch f {
	case FlavorMariaDB:
		return "mariadb"
	case FlavorMySQL:
		return "mysql"
	}
	return fmt.Sprintf("Flavor(%d)", uint8(f))
}

// Environment variables that say where the servers are.
const (
	// EnvMariaDB is the path of the mariadbd to use.
	EnvMariaDB = "FAILOVERPROXY_MARIADBD"
	// EnvMySQLRoot is the directory that holds the system with MySQL, or "/" for the
	// mysqld of this machine, which needs no root.
	EnvMySQLRoot = "FAILOVERPROXY_MYSQL_ROOT"
)

// ErrMissing is what the errors of [Find] and [Start] wrap when the server is not
// installed. Their text is one line that says how to get it.
var ErrMissing = errors.New("server not installed")

// missing makes the error for a server that is not there: what was looked for, and why
// that will not do.
func missing(f Flavor, why string, args ...any) error {
	return fmt.Errorf("mysqld: %s %w: %s; get it with scripts/install-servers (as root)", f, ErrMissing, fmt.Sprintf(why, args...))
}

// Find returns the path of the server's program, or an error that wraps [ErrMissing]
// and says how to install it.
func Find(f Flavor) (string, error) {
	i, err := locate(f)
	return filepath.Join(i.root, i.binary), err
}

// MySQLRoot returns the directory that the MySQL server is looked for in.
func MySQLRoot() (string, error) {
	if root := os.Getenv(EnvMySQLRoot); root != "" {
		return filepath.Clean(root), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("mysqld: %w (or set %s)", err, EnvMySQLRoot)
	}
	return filepath.Join(cache, "failoverproxy", "mysql-9.7"), nil
}

// installation is a server's program and the directories that its instances may use.
type installation struct {
	flavor  Flavor
	binary  string // as the process sees it
	install string // the program that fills a data directory, "" where binary does that
	root    string // what the process sees as /, "" for the machine's own
	work    string // parent of the instances' directories, on the machine
	cache   string // parent of the templates, on the machine
}

// inside returns path as the server sees it.
func (i installation) inside(path string) string {
	return strings.TrimPrefix(path, i.root)
}

func locate(f Flavor) (installation, error) {
	switch f {
	case FlavorMariaDB:
		return locateMariaDB()
	case FlavorMySQL:
		return locateMySQL()
	}
	return installation{}, fmt.Errorf("mysqld: %s is no flavor", f)
}

func locateMariaDB() (installation, error) {
	i := installation{flavor: FlavorMariaDB, work: os.TempDir(), cache: templates()}
	var err error
	if path := os.Getenv(EnvMariaDB); path != "" {
		if i.binary, err = program(path); err != nil {
			return i, missing(i.flavor, "%s=%s is no program", EnvMariaDB, path)
		}
	} else if i.binary, err = program("mariadbd", "/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/bin"); err != nil {
		return i, missing(i.flavor, "no mariadbd on the PATH or in /usr/sbin")
	}
	bin := filepath.Dir(i.binary)
	if i.install, err = program("mariadb-install-db", bin, filepath.Join(bin, "../bin"), "/usr/bin", "/usr/local/bin"); err != nil {
		return i, missing(i.flavor, "%s has no mariadb-install-db beside it", i.binary)
	}
	return i, nil
}

func locateMySQL() (installation, error) {
	i := installation{flavor: FlavorMySQL, binary: "/usr/sbin/mysqld"}
	root, err := MySQLRoot()
	if err != nil {
		return i, err
	}
	if root == "/" {
		return locateHostMySQL(i)
	}
	i.root, i.work, i.cache = root, filepath.Join(root, "tmp"), filepath.Join(root, "var/cache/failoverproxy")
	if _, err := exec.LookPath(filepath.Join(root, i.binary)); err != nil {
		return i, missing(i.flavor, "no %s", filepath.Join(root, i.binary))
	}
	if os.Geteuid() != 0 {
		return i, missing(i.flavor, "running %s takes chroot, and chroot takes root (or set %s=/ if this machine has a mysqld of its own)",
			filepath.Join(root, i.binary), EnvMySQLRoot)
	}
	return i, nil
}

// locateHostMySQL finds the mysqld of the machine itself.
func locateHostMySQL(i installation) (installation, error) {
	i.work, i.cache = os.TempDir(), templates()
	var err error
	if i.binary, err = program("mysqld", "/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/bin"); err != nil {
		return i, missing(i.flavor, "no mysqld on the PATH or in /usr/sbin, and %s is /", EnvMySQLRoot)
	}
	// Distributions with MariaDB give it MySQL's name too.
	if target, err := filepath.EvalSymlinks(i.binary); err == nil && strings.Contains(filepath.Base(target), "mariadb") {
		return i, missing(i.flavor, "%s is MariaDB, and %s is /", i.binary, EnvMySQLRoot)
	}
	return i, nil
}

// program finds an executable by the PATH or in one of dirs, which the PATH of an
// ordinary user does not name.
func program(name string, dirs ...string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range dirs {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// templates is where the templates of servers are kept that have no root of their own.
func templates() string {
	if cache, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(cache, "failoverproxy", "templates")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir
		}
	}
	// No home, or one that cannot be written to, as users of services have.
	return filepath.Join(os.TempDir(), fmt.Sprintf("failoverproxy-templates-%d", os.Getuid()))
}
