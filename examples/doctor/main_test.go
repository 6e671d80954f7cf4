package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

var update = flag.Bool("update", false, "write what the doctor says into docs/doctor.md")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(mysqld.RunFunction), goleak.Cleanup(mysqld.Exit))
}

// today is when the tests' certificates and versions are looked at: others end some day.
func today() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// examined runs the program on a DSN.
func examined(t *testing.T, o options) (code int, out, errs string) {
	t.Helper()
	if o.processes == 0 {
		o.processes = 1
	}
	o.timeout, o.now = cmp.Or(o.timeout, 10*time.Second), today
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), o, &stdout, &stderr)
	for _, secret := range []string{mysqld.Password, canary} {
		if strings.Contains(stdout.String()+stderr.String(), secret) {
			t.Errorf("the password comes out:\n%s\n%s", stdout.String(), stderr.String())
		}
	}
	return code, stdout.String(), stderr.String()
}

// canary is a password, which must not come out anywhere.
const canary = "cAnArY-7f3"

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}

// volatile is what differs from run to run, and from one patch of a server to the next.
var volatile = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d+\.\d\dms`), "N.NNms"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
	{regexp.MustCompile(`(\d+\.\d+)\.\d+-[-+\w]+( \(Debian[ \d]*\))?`), "$1.x"},
	{regexp.MustCompile(`is \d+s behind, at most`), "is Ns behind, at most"},
	{regexp.MustCompile(` {2,}`), "  "},
}

func masked(text string) string {
	for _, v := range volatile {
		text = v.what.ReplaceAllString(text, v.by)
	}
	return text
}

// documented holds docs/doctor.md to what the doctor says: below that heading, in the first block.
func documented(t *testing.T, heading, says string) {
	t.Helper()
	const page = "../../docs/doctor.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)(\n## " + regexp.QuoteMeta(heading) + "\n.*?```text\n)(.*?)```")
	at := block.FindSubmatchIndex(text)
	if at == nil {
		t.Fatalf("%s has no block below %q", page, heading)
	}
	if got := string(text[at[4]:at[5]]); masked(got) == masked(says) {
		return
	} else if !*update {
		t.Errorf("%s, %s, has\n%swhere the doctor says (go test ./examples/doctor -update writes it)\n%s", page, heading, got, says)
		return
	}
	text = append(append(append([]byte(nil), text[:at[4]]...), says...), text[at[5]:]...)
	if err := os.WriteFile(page, text, 0o644); err != nil { //nolint:gosec // a page of the documentation
		t.Fatal(err)
	}
}

// TestSimulation: without a DSN there is something to be seen.
func TestSimulation(t *testing.T) {
	code, out, errs := examined(t, options{})
	if code != exitHealthy {
		t.Errorf("exit code %d: %s", code, out)
	}
	contains(t, errs, "a simulated cluster")
	documented(t, "A simulated cluster", out)
	if code, _, _ = examined(t, options{strict: true}); code != exitUnhealthy {
		t.Errorf("-strict: exit code %d", code)
	}
}

// TestJSON: programs get the same.
func TestJSON(t *testing.T) {
	code, out, _ := examined(t, options{asJSON: true, processes: 9})
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if code != exitUnhealthy || r.Topology != "aurora" || r.Writer != "instance-1" || r.Failures != 3 || r.Warnings != 1 || r.Processes != 9 || !r.Time.Equal(today()) {
		t.Errorf("exit code %d: %+v", code, r)
	}
	failures := 0
	for _, one := range r.Findings {
		if one.Level == fail {
			failures++
			if one.Check != "capacity" || one.Instance == "" || one.Advice != "fpPoolSize=10 fits; or max_connections of 301" {
				t.Errorf("%+v", one)
			}
		}
	}
	if failures != r.Failures {
		t.Errorf("%d failures, %d counted", failures, r.Failures)
	}
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	return closed.Addr().String()
}

// TestTimeout: -timeout bounds the wait for a cluster, whatever the program's own bound is.
func TestTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		param   string
	}{
		"the program waits for ever":        {200 * time.Millisecond, "fpFailoverTimeout=0"},
		"shorter than fpProbeIntervalFast":  {50 * time.Millisecond, ""},
		"shorter than all that there is":    {time.Millisecond, ""},
		"shorter, and the program for ever": {50 * time.Millisecond, "fpFailoverTimeout=0"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			var out, errs bytes.Buffer
			code := run(ctx, options{dsn: "u@tcp(" + nobody(t) + ")/?" + tc.param, processes: 1, timeout: tc.timeout, now: today}, &out, &errs)
			if ctx.Err() != nil {
				t.Error("it waits for ever")
			}
			if code != exitUnreachable || errs.Len() > 0 {
				t.Errorf("exit code %d: %s", code, &errs)
			}
			contains(t, out.String(), "fail  connect")
		})
	}
}

func TestBadInput(t *testing.T) {
	for dsn, want := range map[string]string{
		"u:" + canary + "@tcp(host":                                                             "doctor: ",
		"u:" + canary + "@tcp(host)/?fpTopologie=a":                                             "fpTopology",
		"u:" + canary + "@tcp(host)/?fpTLSCA=none":                                              "fpTLSCA",
		"u:" + canary + "@tcp(" + nobody(t) + ")/?fpFailoverTimeout=100ms&fpProbeTimeout=100ms": "nobody listens there",
		"u:" + canary + "@tcp(nowhere.invalid)/":                                                "the name does not exist",
	} {
		code, out, errs := examined(t, options{dsn: dsn})
		if code != exitUnreachable || !strings.Contains(out+errs, want) {
			t.Errorf("%s: exit code %d, want %q: %s%s", dsn, code, want, out, errs)
		}
	}
	for want, o := range map[string]options{"-processes -1": {processes: -1}} {
		if code, _, errs := examined(t, o); code != exitUnreachable || !strings.Contains(errs, want) {
			t.Errorf("exit code %d, want %q: %s", code, want, errs)
		}
	}
}
