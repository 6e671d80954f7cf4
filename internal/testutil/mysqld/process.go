package mysqld

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// RunFunction is the name of the function that waits for a server's end in a goroutine
// of its own. A shared server outlives the test that it was started for; tests that look
// for leaked goroutines leave it out: goleak.IgnoreAnyFunction(mysqld.RunFunction).
const RunFunction = "github.com/failoverproxy/failoverproxy/internal/testutil/mysqld.(*process).run"

// process is a child that dies with us, and its children with it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone
	err  error         // how it ended, once done is closed
}

// launch starts the program of the installation, or another one that sees the same
// root, with its output in a file.
func (i installation) launch(output *os.File, program string, args ...string) (*process, error) {
	// No CommandContext: the context that bounds the start must not end the server.
	cmd := exec.Command(program, args...) //nolint:noctx // see above
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = attributes(i.root)
	// Not our environment: TMPDIR names a directory that is not there in another root,
	// and MYSQL_TCP_PORT and its like are options.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if i.root != "" {
		cmd.Path, cmd.Err, cmd.Dir = program, nil, "/"
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("mysqld: start %s: %w", filepath.Join(i.root, program), err)
	}
	return p, nil
}

// run starts the child and waits for its end, all on one thread: the parent-death
// signal is sent when the thread that started the child ends, not the process.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// wait waits for the child's end; if ctx ends first it kills the child.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
}

// stop asks the child to end and kills it when it has not in time. It reports whether
// the child ended by itself.
func (p *process) stop(timeout time.Duration) bool {
	signal(p.cmd.Process, syscall.SIGTERM)
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-p.done:
		return true
	case <-late.C:
		p.kill()
		return false
	}
}

// kill ends the child and its children, and waits.
func (p *process) kill() {
	signal(p.cmd.Process, syscall.SIGKILL)
	<-p.done
}

// ended reports whether the child is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// runLogged runs a program to its end; its output goes into the error if it fails.
func (i installation) runLogged(ctx context.Context, dir, program string, args ...string) error {
	log, err := os.CreateTemp(dir, "output-*.log")
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	p, err := i.launch(log, program, args...)
	if err != nil {
		return err
	}
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("mysqld: %s %s: %w\n%s", program, strings.Join(args, " "), err, tail(log.Name(), logTail))
	}
	return nil
}

// logTail is how many lines of a log are shown when something went wrong.
const logTail = 40

// tail returns the last lines of a file, indented; servers' logs here are short.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "\t(" + err.Error() + ")"
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "\t" + strings.Join(all[max(0, len(all)-lines):], "\n\t")
}
