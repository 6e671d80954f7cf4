package main

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/failoverproxy/failoverproxy"
	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
)

// output is a buffer that the program and the test may use at a time.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.String()
}

// TestRehearsal uses the program as its documentation says.
func TestRehearsal(t *testing.T) {
	port := aurorasim.LoopbackPort(t)
	number := strconv.Itoa(port)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, typed := io.Pipe()
	var out output
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, options{fake: true, port: port, instances: 2, kind: "kill", outage: 100 * time.Millisecond, restart: 100 * time.Millisecond}, in, &out)
	}()
	say := func(line string) {
		t.Helper()
		if _, err := io.WriteString(typed, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	say("help") // answered when the cluster is there
	db, err := sql.Open("failoverproxy", "drill:drill@tcp(127.0.0.11:"+number+",127.0.0.12:"+number+")/?fpInstanceHost=127.0.0.?:"+number)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE t (a BIGINT)"); err != nil {
		t.Fatal(err)
	}
	say("nonsense")
	say("refuse 99")
	say("kill")
	say("status")
	say("status") // is read when the kill has been carried out
	if _, err := db.ExecContext(ctx, "INSERT INTO t (a) VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	say("quit")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.11 to 127.0.0.12", `"nonsense": type "help"`, `no instance "99": want one of 11, 12`, "writer"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestBadFlags(t *testing.T) {
	for _, o := range []options{{kind: "kill"}, {kind: "kill", fake: true, upstream: "x"}, {kind: "explode", fake: true}, {kind: "kill", upstream: "nonsense"}} {
		if err := run(t.Context(), o, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}
