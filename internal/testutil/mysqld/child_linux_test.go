package mysqld

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// child starts the test binary in a role; it returns the first line that it writes. The
// child ends when stdin is closed.
func child(t *testing.T, f Flavor, binary string, user *syscall.Credential) (cmd *exec.Cmd, stdin io.Closer, line string) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), childRole+"="+f.String())
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	if user != nil {
		cmd.Env = append(cmd.Env, "HOME=/proc/nowhere", "XDG_CACHE_HOME=")
		cmd.Dir = "/"
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said %q, %v", line, err)
	}
	return cmd, in, line
}

// A test binary that is killed takes its servers with it, and the next one removes
// their files.
func TestServerDiesWithItsParent(t *testing.T) {
	t.Parallel()
	for _, f := range flavors {
		t.Run(f.String(), func(t *testing.T) {
			i, err := locate(f)
			require(t, err)
			cmd, _, line := child(t, f, os.Args[0], nil)
			var addr, dir string
			if _, err := fmt.Sscanf(line, "started %s %s", &addr, &dir); err != nil {
				t.Fatalf("the child said %q: %v", line, err)
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			sweep(i.work)
			if _, err := os.Stat(filepath.Join(dir, dataName)); err != nil {
				t.Fatalf("a living process's directory was swept: %v", err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			// The server's end is what ends its connections: those it greeted, and those
			// that it has yet to accept. It would hang up by itself only after 10 s.
			_, _ = io.Copy(io.Discard, server)
			survived := true
			for range 3 {
				conn, err := net.Dial("tcp", addr)
				if survived = err == nil; !survived {
					break
				}
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
			if survived {
				t.Error("the server survived")
			}
			sweep(i.work)
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s was not swept: %v", dir, err)
			}
		})
	}
}

// nobody is a user without any rights.
var nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

// An ordinary user, with no home to keep a template in, has MariaDB and is told about
// MySQL.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("we are an ordinary user, and all other tests show it")
	}
	for _, f := range flavors {
		_, err := Find(f)
		require(t, err)
	}
	// go test builds into a directory that only its owner may enter.
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	binary := filepath.Join(dir, "child")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range flavors {
		cmd, stdin, line := child(t, f, binary, nobody)
		stdin.Close()
		switch err := cmd.Wait(); f {
		case FlavorMariaDB:
			if err != nil || !strings.HasPrefix(line, "started ") {
				t.Errorf("%s: %s, %v", f, line, err)
			}
		case FlavorMySQL:
			if err == nil || !strings.Contains(line, "takes root") && !strings.Contains(line, "server not installed") {
				t.Errorf("%s: %s, %v", f, line, err)
			}
		}
	}
}
