package awsauth

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
)

// rds is a MySQL server whose accounts IDENTIFIED WITH AWSAuthenticationPlugin log in with
// IAM tokens, which it checks as RDS does. MySQL has no such plugin, so the test builds one
// that asks it.
type rds struct {
	*mysqld.Server
	ca string // file of the authority that its certificate is of

	mu       sync.Mutex
	keys     map[string]key
	hosts    []string // what it may be called by a token
	verdicts []string // user: error, of every login
	seen     []string // tokens
}

func newRDS(t *testing.T, hosts ...string) *rds {
	t.Helper()
	r := &rds{hosts: hosts, keys: map[string]key{accessKey: {secret: secretKey, session: sessionKey}}}
	port := r.listen(t)
	certificate, private := r.certify(t, hosts)
	directory := buildPlugin(t, port)
	r.Server = mysqld.MySQL(t, mysqld.WithTLS(certificate, private),
		mysqld.WithArgs("--plugin-dir="+directory, "--plugin-load-add=aws_authentication.so", "--require-secure-transport=OFF"))
	return r
}

// listen starts what the plugin asks.
func (r *rds) listen(t *testing.T) (port int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.answer(c) })
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

func (r *rds) answer(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	user, _ := in.ReadString('\n')
	token, err := in.ReadString('\n')
	if err != nil {
		return
	}
	user, token = strings.TrimSuffix(user, "\n"), strings.TrimSuffix(token, "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, token)
	for _, host := range r.hosts {
		if err = judgeToken(token, host+":3306", region, user, r.keys, time.Now()); err == nil {
			break
		}
	}
	r.verdicts = append(r.verdicts, fmt.Sprintf("%s: %v", user, err))
	if err != nil {
		_, _ = c.Write([]byte("n"))
		return
	}
	_, _ = c.Write([]byte("y"))
}

func (r *rds) certify(t *testing.T, hosts []string) (certificate, private []byte) {
	own, _, err := fakemysql.SelfSigned(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(own.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificates[0].Certificate[0]})
	r.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(r.ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// buildPlugin compiles the plugin to where the server can read it, and returns the
// directory as the server sees it.
func buildPlugin(t *testing.T, port int) string {
	if _, err := mysqld.Find(mysqld.FlavorMySQL); err != nil {
		mysqld.MySQL(t) // which skips the test, or fails it
	}
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
			t.Fatal(err)
		}
		t.Skip("the plugin of MySQL that this test needs is built by gcc: apt-get install gcc libc6-dev")
	}
	root, err := mysqld.MySQLRoot()
	if err != nil {
		t.Fatal(err)
	}
	directory, err := os.MkdirTemp(filepath.Join(root, "tmp"), "awsauth-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	out, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-O1", "-DVERIFIER_PORT="+strconv.Itoa(port),
		"-o", filepath.Join(directory, "aws_authentication.so"), "testdata/aws_authentication.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join("/", strings.TrimPrefix(directory, root))
}

// dial connects to the server, whatever its name is.
func (r *rds) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", r.Addr())
}

// logins returns what became of the logins since the last call.
func (r *rds) logins() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.verdicts
	r.verdicts = nil
	return v
}
