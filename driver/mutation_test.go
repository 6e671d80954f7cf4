package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// envMutations runs TestMutations outside of CI; or one mutation, by name.
const envMutations = "FP_MUTATIONS"

// TestMutations switches off, one at a time, what keeps the promises of the design, and
// demands that TestChaos notices. The mutations are data, in testdata/mutations: why the
// line is there, which seeds to try, and for each change the file, the text and what
// takes its place.
//
//	FP_MUTATIONS=all go test ./driver -run TestMutations -v
func TestMutations(t *testing.T) {
	only := os.Getenv(envMutations)
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); !ci && only == "" {
		t.Skipf("builds the tests once for each mutation, which takes minutes: set CI=true or %s=all", envMutations)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "mutations", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no mutations: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if only != "" && only != "all" && only != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // linking has one thread
			m, err := readMutation(file)
			if err != nil {
				t.Fatal(err)
			}
			binary := m.build(t)
			start := time.Now()
			seed, finding := m.seeds(t, binary)
			if seed == "" {
				t.Fatalf("no plan of the seeds %d to %d notices", m.first, m.last)
			}
			if output := control(t, seed); output != "" {
				t.Errorf("seed %s fails without the mutation, too:\n%s", seed, output)
			}
			t.Logf("seed %s, after %s: %s", seed, time.Since(start).Round(time.Millisecond), finding)
		})
	}
}

// mutation is a change to the code that TestChaos must notice.
type mutation struct {
	why         string
	first, last int // seeds
	edits       []edit
}

// edit replaces a text that is in its file exactly once.
type edit struct{ file, text, by string }

var mutationSeeds = regexp.MustCompile(`(?m)^seeds (\d+)-(\d+)\n`)

func readMutation(file string) (m mutation, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	parts := strings.Split(string(data), "\n=== ")
	head := parts[0] + "\n"
	seeds := mutationSeeds.FindStringSubmatch(head)
	if seeds == nil || len(parts) == 1 {
		return m, fmt.Errorf("%s has no seeds, or no change", file)
	}
	m.why = strings.TrimSpace(mutationSeeds.ReplaceAllString(head, ""))
	m.first, _ = strconv.Atoi(seeds[1])
	m.last, _ = strconv.Atoi(seeds[2])
	for _, part := range parts[1:] {
		name, change, _ := strings.Cut(part, "\n")
		text, by, ok := strings.Cut(change, "\n---\n")
		if !ok {
			return m, fmt.Errorf("%s: the change of %s has no ---", file, name)
		}
		m.edits = append(m.edits, edit{file: name, text: text, by: strings.TrimSuffix(by, "\n")})
	}
	return m, nil
}

// build builds the tests of this package with the change.
func (m mutation) build(t *testing.T) (binary string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	changed := make(map[string]string) // texts by file
	for _, e := range m.edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		if changed[path] == "" {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed[path] = string(data)
		}
		if n := strings.Count(changed[path], e.text); n != 1 {
			t.Fatalf("%s has this text %d times:\n%s", e.file, n, e.text)
		}
		changed[path] = strings.Replace(changed[path], e.text, e.by, 1)
	}
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for path, text := range changed {
		overlay.Replace[path] = filepath.Join(dir, strconv.Itoa(len(overlay.Replace))+".go")
		if err := os.WriteFile(overlay.Replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "driver.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "./driver")
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return binary
}

var replayed = regexp.MustCompile(`replay: ` + envChaosSeed + `=(\d+)[^\n]*\s*found: ([^\n]*)`)

// seeds runs TestChaos until a plan fails, and returns its seed and what it says.
func (m mutation) seeds(t *testing.T, binary string) (seed, finding string) {
	t.Helper()
	output, err := runSeeds(t, binary, strconv.Itoa(m.first), m.last-m.first+1)
	found := replayed.FindSubmatch(output)
	if err == nil || found == nil {
		if err != nil {
			t.Errorf("%v\n%.2000s", err, output)
		}
		return "", ""
	}
	return string(found[1]), string(found[2])
}

// control runs one seed with the tests as they are, and returns what they say if they fail.
func control(t *testing.T, seed string) string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if output, err := runSeeds(t, binary, seed, 1); err != nil {
		return string(output)
	}
	return ""
}

// runSeeds runs TestChaos of a binary. The error is that it failed.
func runSeeds(t *testing.T, binary, first string, count int) (output []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestChaos$", "-test.failfast")
	cmd.Env = append(os.Environ(), envChaosSmall+"=off", envChaosPlan+"=", envChaosSeed+"="+first, fmt.Sprintf("%s=%d", envChaosSeeds, count))
	output, err = cmd.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return output, err
}
