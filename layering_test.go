package failoverproxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests of this file enforce who may import whom, and what knowledge lives in one
// place only. The rules are functions of a parsed file, and TestLayeringRules shows
// each of them convicting.

const module = "github.com/failoverproxy/failoverproxy"

// imports is the import law: what of ours each package may import. "x/..." is x and
// everything below.
var imports = map[string][]string{
	".":                     {"driver", "failover", "topology"},
	"driver":                {"topology", "failover", "pool", "internal/backend", "internal/sqlscan"},
	"driver/status":         {"driver", "topology", "failover", "pool"},
	"failover":              {"topology"},
	"pool":                  {"internal/backend", "internal/sqlscan"},
	"topology":              {},
	"internal/backend":      {},
	"internal/sqlscan":      {},
	"internal/testutil/...": {"internal/testutil/..."},
	"examples/...":          {".", "driver/...", "failover", "topology", "pool", "internal/testutil/...", "examples/..."},
}

// foreign says where packages of others, and some of the standard library, may be
// imported. The first rule that fits counts. Test files and examples are meant by
// "tests" and "examples/..."; a package of another module that no rule names may be
// imported nowhere.
var foreign = []struct {
	path string
	in   []string
}{
	{"unsafe", nil},
	{"C", nil},
	{"net/http/...", []string{"driver/status", "tests", "examples/..."}},
	{"github.com/go-sql-driver/mysql", []string{"driver", "failover", "internal/backend", "internal/testutil/...", "tests", "examples/..."}},
	{"github.com/jackc/puddle/v2", []string{"pool"}},
	{"github.com/cenkalti/backoff/v4", []string{"topology", "failover"}},
	{"go.opentelemetry.io/otel/sdk/...", []string{"tests", "examples/..."}},
	{"go.opentelemetry.io/otel/exporters/...", []string{"examples/..."}},
	{"go.opentelemetry.io/otel/...", []string{"driver", "tests", "examples/..."}},
	{"go.uber.org/goleak", []string{"tests"}},
}

// direct are the modules that the root module may require directly.
var direct = []string{
	"github.com/go-sql-driver/mysql",
	"github.com/jackc/puddle/v2",
	"github.com/cenkalti/backoff/v4",
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/metric",
	"go.opentelemetry.io/otel/trace",
	// For tests.
	"go.uber.org/goleak",
	"go.opentelemetry.io/otel/sdk",
	"go.opentelemetry.io/otel/sdk/metric",
}

// probes recognizes the SQL that asks an instance for its place in the cluster.
var probes = regexp.MustCompile(`(?i)replica_host_status|aurora_server_id|@@aurora|master_session_id|rds_topology|` +
	`replication_group_members|\binnodb_read_only\b|\bshow\s+(all\s+)?(replicas?|slaves?)\s+status|\bshow\s+(master|binary\s+log)\s+status|@@(global\.)?(innodb_|super_)?read_only`)

// source is one file of a package.
type source struct {
	pkg  string // relative to the module, "." for its root
	name string // of the file
	test bool
	set  *token.FileSet
	file *ast.File
	text []byte
}

func parse(pkg, name string, text []byte) (source, error) {
	s := source{pkg: pkg, name: name, test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet(), text: text}
	var err error
	s.file, err = parser.ParseFile(s.set, path.Join(pkg, name), text, parser.SkipObjectResolution)
	return s, err
}

// violations are the sentences against a file. errnos are the error numbers that
// package failover knows.
func (s source) violations(errnos map[string]bool) []string {
	var v []string
	accuse := func(pos token.Pos, format string, args ...any) {
		v = append(v, fmt.Sprintf("%s: %s", s.set.Position(pos), fmt.Sprintf(format, args...)))
	}
	s.judgeSize(accuse)
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			accuse(spec.Pos(), "import %s: %v", spec.Path.Value, err)
			continue
		}
		s.judgeImport(imported, func(format string, args ...any) { accuse(spec.Pos(), format, args...) })
	}
	if s.test || s.within("internal/testutil/...") || s.within("examples/...") {
		return v
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if _, isImport := n.(*ast.ImportSpec); isImport {
			return false
		}
		if s.pkg != "failover" {
			s.judgeErrno(n, errnos, accuse)
		}
		if s.pkg != "topology" {
			judgeProbe(n, accuse)
		}
		judgeBadConn(n, accuse)
		return true
	})
	return v
}

type accusation func(pos token.Pos, format string, args ...any)

func (s source) judgeSize(accuse accusation) {
	const most = 500
	if lines := bytes.Count(s.text, []byte("\n")); lines > most {
		accuse(s.file.Package, "%d lines are more than %d", lines, most)
	}
	if base := strings.TrimSuffix(strings.TrimSuffix(s.name, ".go"), "_test"); slices.Contains([]string{"util", "utils", "helper", "helpers", "common", "misc"}, base) {
		accuse(s.file.Package, "files are named for what they hold")
	}
}

func (s source) judgeImport(imported string, accuse func(format string, args ...any)) {
	if own, ok := strings.CutPrefix(imported+"/", module+"/"); ok {
		s.judgeOwn(path.Clean(own), accuse)
		return
	}
	for _, rule := range foreign {
		if !fits(rule.path, imported) {
			continue
		}
		if !slices.ContainsFunc(rule.in, s.within) {
			accuse("%s may import %s only in %v", s.pkg, imported, rule.in)
		}
		return
	}
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
		accuse("%s is of no module that may be used", imported)
	}
}

// judgeOwn applies the import law. The tests of a package may import the test
// utilities, too, and the package itself.
func (s source) judgeOwn(own string, accuse func(format string, args ...any)) {
	for pkg, allowed := range imports {
		if !fits(pkg, s.pkg) {
			continue
		}
		if s.test {
			allowed = append(slices.Clone(allowed), s.pkg, "internal/testutil/...")
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return fits(a, own) }) {
			accuse("%s may import %v of ours, not %s", s.pkg, allowed, own)
		}
		return
	}
	accuse("%s is not in the import law", s.pkg)
}

// within reports whether the file belongs to what pattern says: a package, "x/..." for
// those below x, or "tests".
func (s source) within(pattern string) bool {
	return pattern == "tests" && s.test || fits(pattern, s.pkg)
}

func fits(pattern, pkg string) bool {
	if top, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == top || strings.HasPrefix(pkg, top+"/")
	}
	return pattern == pkg
}

// judgeErrno finds error numbers outside of package failover: in a file that knows the
// wrapped driver every use of a field Number and every literal MySQLError, anywhere the
// numbers themselves.
func (s source) judgeErrno(n ast.Node, errnos map[string]bool, accuse accusation) {
	switch n := n.(type) {
	case *ast.BasicLit:
		// 0x50a and 1_290 are 1290, too.
		if number, err := strconv.ParseInt(n.Value, 0, 64); n.Kind == token.INT && err == nil && errnos[strconv.FormatInt(number, 10)] {
			accuse(n.Pos(), "the error number %s belongs into package failover", n.Value)
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "failover" {
			return // failover.Number is the function to use
		}
		if n.Sel.Name == "Number" && s.importsDriver() {
			accuse(n.Pos(), "error numbers are read by package failover")
		}
	case *ast.CompositeLit:
		if t, ok := n.Type.(*ast.SelectorExpr); ok && t.Sel.Name == "MySQLError" {
			accuse(n.Pos(), "error numbers are given by servers")
		}
	}
}

func (s source) importsDriver() bool {
	return slices.ContainsFunc(s.file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"github.com/go-sql-driver/mysql"` })
}

func judgeProbe(n ast.Node, accuse accusation) {
	if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if found := probes.FindString(lit.Value); found != "" {
			accuse(lit.Pos(), "%q is probe SQL, which belongs into package topology", found)
		}
	}
}

// judgeBadConn finds driver.ErrBadConn in a chain: database/sql would find it there and
// run the statement up to three times.
func judgeBadConn(n ast.Node, accuse accusation) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return
	}
	switch fun, _ := call.Fun.(*ast.SelectorExpr); {
	case fun == nil:
		return
	case fun.Sel.Name == "Join":
	case fun.Sel.Name != "Errorf":
		return
	case len(call.Args) > 0:
		if format, ok := call.Args[0].(*ast.BasicLit); ok && !strings.Contains(format.Value, "%w") {
			return
		}
	}
	for _, arg := range call.Args {
		ast.Inspect(arg, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "ErrBadConn" {
				accuse(id.Pos(), "ErrBadConn must not be in a chain: database/sql would run the statement again")
			}
			return true
		})
	}
}

// requirements is what go mod edit -json tells of go.mod.
type requirements struct {
	Module  struct{ Path string }
	Require []struct {
		Path     string
		Indirect bool
	}
	Replace, Tool []any
}

func (r requirements) violations() []string {
	var v []string
	if r.Module.Path != module {
		v = append(v, "go.mod: the module is "+r.Module.Path)
	}
	for _, m := range r.Require {
		if !m.Indirect && !slices.Contains(direct, m.Path) {
			v = append(v, "go.mod: "+m.Path+" is no module that may be required directly")
		}
	}
	if len(r.Replace)+len(r.Tool) > 0 {
		v = append(v, "go.mod: no replace, and tools live in tools.mod")
	}
	return v
}

func TestLayering(t *testing.T) {
	all := sources(t)
	errnos := make(map[string]bool)
	seen := make(map[string]bool)
	for _, s := range all {
		seen[s.pkg] = true
		if s.pkg != "failover" || s.name != "errno.go" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.INT && len(lit.Value) == 4 {
				errnos[lit.Value] = true
			}
			return true
		})
	}
	if !errnos["1290"] {
		t.Errorf("failover/errno.go does not know 1290, only %v: where have the error numbers gone?", errnos)
	}
	for _, pkg := range []string{".", "driver", "pool", "topology", "failover", "internal/backend", "internal/sqlscan", "internal/testutil/mysqld"} {
		if !seen[pkg] {
			t.Errorf("package %s was not looked at", pkg)
		}
	}
	for _, s := range all {
		for _, v := range s.violations(errnos) {
			t.Error(v)
		}
	}
	var mod requirements
	if err := json.Unmarshal(output(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, v := range mod.violations() {
		t.Error(v)
	}
}

// sources parses all files of the module, those for other systems included.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for packages := json.NewDecoder(bytes.NewReader(output(t, "list", "-json", "./..."))); ; {
		var p struct {
			Dir, ImportPath                                              string
			GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		pkg := path.Clean(strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"))
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			s, err := parse(pkg, name, text)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
	}
}

func output(t *testing.T, args ...string) []byte {
	t.Helper()
	var complaint bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &complaint)
	}
	return out
}

// Every rule must be able to convict, and must leave what is right alone.
func TestLayeringRules(t *testing.T) {
	const (
		own   = `"` + module + `/`
		mysql = `import "github.com/go-sql-driver/mysql"; `
	)
	for _, c := range []struct {
		pkg, name, text string
		accused         string // part of the one sentence; "" = acquitted
	}{
		{"topology", "a.go", `import ` + own + `failover"`, "not failover"},
		{"failover", "a.go", `import ` + own + `topology"`, ""},
		{"pool", "a.go", `import ` + own + `topology"`, "not topology"},
		{"pool", "a.go", `import ` + own + `internal/testutil/wire"`, "not internal/testutil/wire"},
		{"pool", "a_test.go", `import ` + own + `internal/testutil/wire"`, ""},
		{"pool", "a_test.go", `import ` + own + `driver"`, "not driver"},
		{"internal/backend", "a.go", `import "` + module + `"`, "not ."},
		{"internal/testutil/ledger", "a.go", `import ` + own + `failover"`, "not failover"},
		{"internal/testutil/ledger", "a.go", `import ` + own + `internal/testutil/wire"`, ""},
		{"driver", "a.go", `import ` + own + `pool"`, ""},
		{"driver", "a.go", `import ` + own + `driver/status"`, "not driver/status"},
		{"novelty", "a.go", `import ` + own + `driver"`, "not in the import law"},
		{"examples/drill", "a.go", `import ` + own + `internal/testutil/ledger"`, ""},
		{"examples/drill", "a.go", `import ` + own + `internal/backend"`, "not internal/backend"},

		{"driver", "a.go", `import "unsafe"`, "unsafe"},
		{"driver", "a_test.go", `import "unsafe"`, "unsafe"},
		{"driver", "a.go", `import "net/http"`, "net/http"},
		{"driver", "a.go", `import "net/http/pprof"`, "net/http/pprof"},
		{"driver/status", "a.go", `import "net/http"`, ""},
		{"driver", "a.go", `import "github.com/jackc/puddle/v2"`, "only in [pool]"},
		{"pool", "a.go", `import "github.com/jackc/puddle/v2"`, ""},
		{"pool", "a.go", `import "github.com/cenkalti/backoff/v4"`, "only in [topology failover]"},
		{"topology", "a.go", `import "github.com/cenkalti/backoff/v4"`, ""},
		{"pool", "a.go", `import "go.opentelemetry.io/otel/trace"`, "may import go.opentelemetry.io/otel/trace"},
		{"driver", "a.go", `import "go.opentelemetry.io/otel/trace"`, ""},
		{"driver", "a.go", `import "go.opentelemetry.io/otel/sdk/trace"`, "otel/sdk/trace only in [tests"},
		{"driver", "a_test.go", `import "go.opentelemetry.io/otel/sdk/trace"`, ""},
		{"driver", "a.go", `import "go.uber.org/goleak"`, "only in [tests]"},
		{"driver", "a.go", `import "github.com/stretchr/testify/assert"`, "of no module"},
		{"driver", "a_test.go", `import "github.com/stretchr/testify/assert"`, "of no module"},
		{"driver", "a.go", `import "net/textproto"`, ""},

		{"driver", "a.go", mysql + `func f(e *mysql.MySQLError) bool { return e.Number > 5 }`, "read by package failover"},
		{"driver", "a.go", mysql + `var e = &mysql.MySQLError{Message: "x"}`, "given by servers"},
		{"driver", "a.go", `var refused uint16 = 1290`, "number 1290"},
		{"driver", "a.go", `var refused uint16 = 0x50a`, "number 0x50a"},
		{"driver", "a.go", `func f(n uint16) { switch n { case 1290: } }`, "number 1290"},
		{"driver", "a.go", mysql + `var n, _ = failover.Number(nil)`, ""},
		{"driver", "a.go", `var x struct{ Number int }; var y = x.Number`, ""},
		{"driver", "a_test.go", `var refused uint16 = 1290`, ""},
		{"failover", "a.go", mysql + `func f(e *mysql.MySQLError) bool { return e.Number == 1290 }`, ""},

		{"driver", "a.go", "const q = `SELECT @@innodb_read_only`", "probe SQL"},
		{"pool", "a.go", `const q = "show  replica STATUS"`, "probe SQL"},
		{"internal/backend", "a.go", `const q = "SELECT * FROM information_schema.REPLICA_HOST_STATUS"`, "probe SQL"},
		{"topology", "a.go", `const q = "SELECT @@innodb_read_only"`, ""},
		{"driver", "a.go", `const q = "SELECT @@version"`, ""},
		{"driver", "a.go", `const q = "SHOW GLOBAL VARIABLES LIKE 'innodb_read_only'"`, "probe SQL"},
		{"pool", "a.go", `const q = "SELECT @@aurora_version"`, "probe SQL"},

		{"driver", "a.go", `var e = fmt.Errorf("no: %w", driver.ErrBadConn)`, "ErrBadConn"},
		{"driver", "a.go", `var e = fmt.Errorf(format, 1, driver.ErrBadConn)`, "ErrBadConn"},
		{"driver", "a.go", `var e = errors.Join(nil, driver.ErrBadConn)`, "ErrBadConn"},
		{"driver", "a.go", `var e = fmt.Errorf("no: %v", driver.ErrBadConn)`, ""},
		{"driver", "a.go", `func f() error { return driver.ErrBadConn }`, ""},

		{"driver", "utils.go", ``, "named for what they hold"},
		{"driver", "conn.go", strings.Repeat("\n", 501), "lines"},
		{"driver", "conn.go", strings.Repeat("\n", 490), ""},
	} {
		s, err := parse(c.pkg, c.name, []byte("package p; "+c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		v := s.violations(map[string]bool{"1290": true})
		// A number is often found twice: as such, and by its comparison.
		if c.accused == "" && len(v) > 0 || c.accused != "" && (len(v) == 0 || !strings.Contains(strings.Join(v, "\n"), c.accused)) {
			t.Errorf("%s/%s: %s\nis judged %q, not %q", c.pkg, c.name, strings.TrimSpace(c.text), v, c.accused)
		}
	}

	for text, accused := range map[string]bool{
		`{"Module": {"Path": "` + module + `"}, "Require": [{"Path": "golang.org/x/sys", "Indirect": true}, {"Path": "go.uber.org/goleak"}]}`: false,
		`{"Module": {"Path": "` + module + `"}, "Require": [{"Path": "golang.org/x/sys"}]}`:                                                   true,
		`{"Module": {"Path": "` + module + `"}, "Replace": [{}]}`:                                                                             true,
		`{"Module": {"Path": "` + module + `"}, "Tool": [{}]}`:                                                                                true,
		`{"Module": {"Path": "example.com/fork"}}`:                                                                                            true,
	} {
		var r requirements
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if v := r.violations(); len(v) > 0 != accused {
			t.Errorf("%s is judged %q", text, v)
		}
	}
}
