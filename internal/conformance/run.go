package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// driverKind is one of the two drivers that are compared.
type driverKind string

const (
	plain driverKind = "plain"
	ours  driverKind = "ours"
)

func (d driverKind) String() string { return string(d) }

// mark is a DSN parameter that ours takes and the plain driver cannot, and for the plain
// one a parameter that says what is so anyway.
func (d driverKind) mark() string {
	if d == ours {
		return "fpTopology=static"
	}
	return "checkConnLiveness=true"
}

// Outcome is what became of a test: "pass", "fail", "skip", or "" if it did not end.
type Outcome string

// Result is the outcome of one test.
type Result struct {
	Outcome  Outcome
	Output   []string // the lines that the test wrote itself, the first few
	panicked bool
}

// Results are those of one run, by the test's name.
type Results struct {
	Tests map[string]*Result
	Tail  []string // the last lines that belong to no test, such as a panic's
}

// Passed counts the tests that passed.
func (r Results) Passed() (n int) {
	for _, t := range r.Tests {
		if t.Outcome == "pass" {
			n++
		}
	}
	return n
}

// run is one execution of a test binary.
type run struct {
	suite  Suite
	driver driverKind
	server *mysqld.Server
	binary string
	dir    string // of the package
}

// expand replaces the placeholders in a value of [Suite.Env] or [Suite.Args].
func (r run) expand(value string) string {
	return strings.NewReplacer(
		"{server}", r.server.DSN(""), // the DSN up to the slash
		"{database}", r.suite.Databases[0],
		"{mark}", r.driver.mark(),
		"{addr}", r.server.Addr(),
		"{port}", fmt.Sprint(r.server.Port),
		"{user}", r.server.User,
		"{password}", r.server.Password,
	).Replace(value)
}

// execute runs the binary until every test has had its turn: a panic ends a test binary,
// so the test that panicked is left out of another run. A failing test is no error.
func (r run) execute(ctx context.Context) (Results, error) {
	const most = 10
	all := Results{Tests: make(map[string]*Result)}
	skip := slices.Sorted(maps.Keys(r.suite.Skip))
	for range most {
		results, err := r.once(ctx, skip)
		if err != nil {
			return Results{}, err
		}
		maps.Copy(all.Tests, results.Tests)
		all.Tail = results.Tail
		panicked := results.panicked()
		if panicked == "" {
			return all, nil
		}
		top, _, _ := strings.Cut(panicked, "/")
		skip = append(skip, "^"+top+"$")
	}
	return all, nil
}

// once runs the binary on fresh databases, without the tests that skip names.
func (r run) once(ctx context.Context, skip []string) (Results, error) {
	for _, name := range r.suite.Databases {
		if err := r.server.Exec(ctx, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name); err != nil {
			return Results{}, err
		}
	}
	// The converter is a tool of Go's that go tool builds on demand.
	converter, err := output(goCommand(ctx, ".", "tool", "-n", "test2json"))
	if err != nil {
		return Results{}, err
	}
	args := []string{"-t", r.binary, "-test.v=test2json", "-test.timeout=" + r.suite.Timeout.String()}
	if len(skip) > 0 {
		args = append(args, "-test.skip="+strings.Join(skip, "|"))
	}
	for _, a := range r.suite.Args {
		args = append(args, r.expand(a))
	}
	cmd := exec.CommandContext(ctx, strings.TrimSpace(string(converter)), args...)
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), "GOTRACEBACK=single")
	for _, e := range r.suite.Env {
		cmd.Env = append(cmd.Env, r.expand(e))
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return Results{}, fmt.Errorf("%s: %w", cmd, err)
	}
	if err := r.keep(out); err != nil {
		return Results{}, err
	}
	results, err := parse(bytes.NewReader(out))
	for line := range strings.Lines(stderr.String()) {
		results.tail(strings.TrimSpace(line))
	}
	return results, err
}

// keep leaves what the binary wrote in the directory that the environment names, for
// whoever looks into a difference.
func (r run) keep(out []byte) error {
	dir := os.Getenv("CONFORMANCE_KEEP")
	if dir == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%s.json", r.suite.Name, r.server.Flavor, r.driver)),
		os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(out)
	return errors.Join(err, f.Close())
}

// event is a line of test2json's, documented by go doc test2json.
type event struct{ Action, Test, Output string }

// parse reads what test2json wrote.
func parse(in io.Reader) (Results, error) {
	r := Results{Tests: make(map[string]*Result)}
	for events := json.NewDecoder(in); ; {
		var e event
		if err := events.Decode(&e); err == io.EOF {
			return r, nil
		} else if err != nil {
			return r, fmt.Errorf("test2json: %w", err)
		}
		r.note(e)
	}
}

func (r *Results) note(e event) {
	line := strings.TrimSpace(e.Output)
	if e.Test == "" {
		r.tail(line)
		return
	}
	t := r.Tests[e.Test]
	if t == nil {
		t = new(Result)
		r.Tests[e.Test] = t
	}
	switch e.Action {
	case "pass", "fail", "skip":
		t.Outcome = Outcome(e.Action)
	case "output":
		t.panicked = t.panicked || strings.HasPrefix(e.Output, "panic: ")
		const most = 12
		if line != "" && len(t.Output) < most && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			t.Output = append(t.Output, line)
		}
	}
}

// panicked returns the test whose panic ended the binary, or during which the time was up.
func (r Results) panicked() string {
	for test, t := range r.Tests {
		if t.panicked {
			return test
		}
	}
	return ""
}

// tail keeps the last lines that belong to no test.
func (r *Results) tail(line string) {
	const most = 40
	if line == "" {
		return
	}
	if r.Tail = append(r.Tail, line); len(r.Tail) > most {
		r.Tail = r.Tail[1:]
	}
}
