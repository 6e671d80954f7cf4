package conformance

import (
	"path"
	"time"
)

// Suite is a module with tests that talk to a server.
type Suite struct {
	Name    string // of the subtest
	Module  string // whose version go.mod pins
	Package string // with the tests, below the module; "" is the module's root
	Tags    string // build tags

	// Patches are applied for both drivers: what the suite needs to run here at all.
	Patches []Patch
	// Swap and Added make the suite use our driver: patches, and texts of new files by
	// their path below the module.
	Swap  []Patch
	Added map[string]string
	// AsMySQL says that our driver takes the name of the wrapped one. The suite imports
	// it by a file in Added with the import in importAsMySQL.
	AsMySQL bool

	// Databases are created before each run. The first is what {database} stands for.
	Databases []string
	// Env and Args are added to the run's environment and command line. They may
	// contain the placeholders of [Run.expand].
	Env, Args []string
	// Skip are patterns of tests not to be run with either driver, as for -test.skip,
	// with the reasons. A pattern for subtests names their test, too: go test takes the
	// first pattern that fits a test's name so far, and overlooks the others.
	Skip map[string]string

	// Least is how many tests pass with the plain driver at least, on each server. A
	// suite that cannot connect often passes by testing nothing.
	Least int
	// Timeout ends a run that hangs.
	Timeout time.Duration
}

// Patch replaces a text in one file of a suite.
type Patch struct {
	File     string // below the module
	Old, New string
	Count    int // places that Old must be found at; 0 means 1
}

// path is the import path of the package with the tests.
func (s Suite) path() string { return path.Join(s.Module, s.Package) }
