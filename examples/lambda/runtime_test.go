package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// environment is an execution environment of Lambda: the function's process, and the service that
// it talks to (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). Like
// Lambda's, it stops the process between invocations, if it is told to.
type environment struct {
	t       testing.TB
	process *exec.Cmd
	waiting chan struct{} // the function asks for its next event
	events  chan []byte
	replies chan reply
	serial  int
	log     *output
}

type reply struct {
	body   string
	failed bool
}

// build makes the program, once.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fp-lambda-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bootstrap")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// start starts an environment, which ends with the test.
func start(t testing.TB, env ...string) *environment {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	e := &environment{t: t, waiting: make(chan struct{}), events: make(chan []byte), replies: make(chan reply, 1), log: &output{}}
	ctx, cancel := context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case e.waiting <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case event := <-e.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", strconv.Itoa(e.serial))
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			_, _ = w.Write(event)
		case <-ctx.Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.replies <- reply{body: string(body), failed: r.PathValue("what") == "error"}
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "1")
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(http.ResponseWriter, *http.Request) { <-ctx.Done() })
	service := httptest.NewServer(mux)

	e.process = exec.Command(path)
	e.process.Env = append(os.Environ(), append(env, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(service.URL, "http://"))...)
	e.process.Stdout, e.process.Stderr = e.log, e.log
	if err := e.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.process.Process.Kill()
		_ = e.process.Wait()
		cancel()
		service.CloseClientConnections()
		service.Close()
		if t.Failed() {
			t.Logf("the function's log:\n%s", e.log)
		}
	})
	e.idle()
	return e
}

// idle waits until the function has come back for its next event.
func (e *environment) idle() {
	select {
	case <-e.waiting:
	case <-time.After(time.Minute):
		e.t.Fatalf("the function does not ask for events:\n%s", e.log)
	}
}

// invoke sends an event and returns what the function answered, and how long it took.
func (e *environment) invoke(o Order) (Receipt, time.Duration, error) {
	event, err := json.Marshal(o)
	if err != nil {
		return Receipt{}, 0, err
	}
	e.serial++
	began := time.Now()
	e.events <- event
	var got reply
	select {
	case got = <-e.replies:
	case <-time.After(2 * time.Minute):
		return Receipt{}, time.Since(began), fmt.Errorf("no answer:\n%s", e.log)
	}
	took := time.Since(began)
	e.idle()
	if got.failed {
		return Receipt{}, took, fmt.Errorf("the function failed: %s", got.body)
	}
	var r Receipt
	err = json.Unmarshal([]byte(got.body), &r)
	return r, took, err
}

// freeze stops the process, as Lambda does after each invocation.
func (e *environment) freeze() { e.signal(syscall.SIGSTOP) }

func (e *environment) thaw() { e.signal(syscall.SIGCONT) }

func (e *environment) signal(s os.Signal) {
	e.t.Helper()
	if err := e.process.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
}

// end sends SIGTERM, as Lambda does when an environment is given up, and returns how
// long the process took to end.
func (e *environment) end() time.Duration {
	e.t.Helper()
	began := time.Now()
	e.signal(syscall.SIGTERM)
	if err := e.process.Wait(); err != nil {
		e.t.Errorf("the process ended with %v:\n%s", err, e.log)
	}
	return time.Since(began)
}

// output is a buffer that the process and the test may use at a time.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// nat passes connections on to the same port of another address, and can forget those that it has, as
// a NAT gateway does that saw no packet for long: nothing goes through any more, and nobody is told.
type nat struct {
	listeners []net.Listener
	running   sync.WaitGroup

	mu    sync.Mutex
	table map[*translation]bool
}

type translation struct {
	inside, outside net.Conn
	forgotten       chan struct{}
}

// translate has each address (host:port) of the one side lead to that of the other.
func translate(t testing.TB, table map[string]string) *nat {
	t.Helper()
	n := &nat{table: make(map[*translation]bool)}
	for from, to := range table {
		l, err := net.Listen("tcp", from)
		if err != nil {
			t.Fatal(err)
		}
		n.listeners = append(n.listeners, l)
		n.running.Go(func() {
			for {
				inside, err := l.Accept()
				if err != nil {
					return
				}
				outside, err := net.Dial("tcp", to)
				if err != nil {
					_ = inside.(*net.TCPConn).SetLinger(0)
					_ = inside.Close()
					continue
				}
				n.add(&translation{inside: inside, outside: outside, forgotten: make(chan struct{})})
			}
		})
	}
	t.Cleanup(func() {
		for _, l := range n.listeners {
			_ = l.Close()
		}
		n.mu.Lock()
		for tr := range n.table {
			_ = tr.inside.Close()
			_ = tr.outside.Close()
		}
		n.mu.Unlock()
		n.running.Wait()
	})
	return n
}

func (n *nat) add(tr *translation) {
	n.mu.Lock()
	n.table[tr] = true
	n.mu.Unlock()
	pass := func(to, from net.Conn) {
		buffer := make([]byte, 4096)
		for {
			size, err := from.Read(buffer)
			select {
			case <-tr.forgotten: // it swallows what comes, the end included
				if err == nil {
					continue
				}
				return
			default:
			}
			if err == nil {
				_, err = to.Write(buffer[:size])
			}
			if err != nil {
				_ = to.Close()
				_ = from.Close()
				return
			}
		}
	}
	n.running.Go(func() { pass(tr.inside, tr.outside) })
	n.running.Go(func() { pass(tr.outside, tr.inside) })
}

// forget forgets all connections; new ones work.
func (n *nat) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for tr := range n.table {
		select {
		case <-tr.forgotten:
		default:
			close(tr.forgotten)
		}
	}
}
