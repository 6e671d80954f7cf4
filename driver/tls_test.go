package driver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/aurorasim"
	"github.com/failoverproxy/failoverproxy/topology"
)

// wiretap hears what a program sends to each address.
type wiretap struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu   sync.Mutex
	sent map[string][]*bytes.Buffer // of each connection
}

type tapped struct {
	net.Conn
	tap  *wiretap
	sent *bytes.Buffer
}

func (w *wiretap) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := w.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	t := &tapped{Conn: c, tap: w, sent: &bytes.Buffer{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[addr] = append(w.sent[addr], t.sent)
	return t, nil
}

func (t *tapped) Write(p []byte) (int, error) {
	t.tap.mu.Lock()
	t.sent.Write(p)
	t.tap.mu.Unlock()
	return t.Conn.Write(p)
}

// clear reports whether something was sent to addr that everybody can read, and how many
// connections there were: only a request for TLS, or a farewell, may be.
func (w *wiretap) clear(addr string) (clear bool, connections int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sent := range w.sent[addr] {
		p := sent.Bytes()
		request := len(p) >= 36 && p[0] == 32 && binary.LittleEndian.Uint32(p[4:])&0x800 != 0 // CLIENT_SSL
		switch {
		case len(p) == 0 || string(p) == "\x01\x00\x00\x00\x01":
		case request && (len(p) == 36 || p[36] == 0x16): // a TLS handshake
		default:
			clear = true
		}
	}
	return clear, len(w.sent[addr])
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(part string) int { return strings.Count(j.String(), part) }

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// secured is a program over a cluster with TLS that has not connected yet.
type secured struct {
	*rig
	tap  *wiretap
	log  *journal
	file string // the cluster's authority, of which nobody else knows
}

// theCA is fpTLSCA with the cluster's authority, in the parameters of a test.
const theCA = "fpTLSCA=FILE"

// secure runs a test with such a program.
func secure(t *testing.T, params string, test func(b *secured)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	bubbleOver(t, aurorasim.Config{TLS: true}, "", []Option{WithLogger(slog.New(slog.DiscardHandler))}, func(r *rig) {
		r.must(os.WriteFile(file, r.sim.AuthorityPEM(), 0o600))
		const named = "secure-test"
		r.must(mysql.RegisterTLSConfig(named, &tls.Config{RootCAs: r.sim.Authority()}))
		defer mysql.DeregisterTLSConfig(named)
		b := &secured{
			rig: &rig{T: r.T, sim: r.sim, script: r.script},
			tap: &wiretap{dial: r.sim.DialContext, sent: make(map[string][]*bytes.Buffer)}, log: &journal{}, file: file,
		}
		params = strings.ReplaceAll(params, "FILE", url.QueryEscape(file))
		cfg, err := ParseDSN("u:secret@tcp(" + r.sim.Endpoint() + ")/shop?fpReadYourWrites=0&" + params)
		r.must(err)
		b.c, err = NewConnector(cfg, WithDialer(b.tap.DialContext), WithLogger(slog.New(slog.NewTextHandler(b.log, nil))))
		r.must(err)
		b.db = sql.OpenDB(b.c)
		defer b.balanced()
		defer b.db.Close()
		test(b)
		if b.log.count("secret") > 0 {
			b.Error("the password is in the log")
		}
	})
}

// sealed checks that there were connections to the instance and nothing that can be read was
// sent over them.
func (b *secured) sealed(addr string) {
	b.Helper()
	if clear, connections := b.tap.clear(addr); clear || connections == 0 {
		b.Errorf("%s: %d connections, read by others: %t", addr, connections, clear)
	}
}

// soon is a context for what is not to succeed.
func (b *secured) soon() context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
	b.Cleanup(cancel)
	return ctx
}

// ways are all that verify, and each must do so for instances that were discovered.
var ways = []string{theCA, "tls=secure-test", "tls=true&" + theCA, "tls=secure-test&" + theCA}

// TestDiscoveredInstancesHaveTLS: each instance has a certificate for its own name only, and
// every connection verifies that: those of pools, the monitor's, and that of KILL QUERY.
func TestDiscoveredInstancesHaveTLS(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			secure(t, way, func(b *secured) {
				endpoint, _, _ := net.SplitHostPort(b.sim.Endpoint())
				for i, id := range []string{"instance-1", "instance-2", "instance-3"} {
					host, _, _ := net.SplitHostPort(b.sim.Instance(id).Endpoint())
					names := []string{host, endpoint}
					b.must(b.sim.Instance(id).Certify(names[:1+max(0, 1-i)]...)) // the endpoint leads to the first
				}
				b.must(b.exec(b.db, insert))
				b.sim.Writer().MuteAnswer(aurorasim.SQL(selectRows))
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				defer cancel()
				if _, err := b.rows(ctx, b.db, selectRows); !errors.Is(err, context.DeadlineExceeded) {
					b.Errorf("got %v", err)
				}
				if k := b.c.Stats().Cancels; k.Connections != 1 {
					b.Errorf("there was no connection for KILL: %+v", k)
				}
				wait := b.background(aurorasim.Kill)
				b.must(b.read(b.db)()) // on a reader
				wait()
				b.must(b.exec(b.db, insert)) // on the new writer
				time.Sleep(10 * time.Second)
				b.sealed(b.sim.Endpoint())
				for _, id := range []string{"instance-1", "instance-2", "instance-3"} {
					b.sealed(b.sim.Instance(id).Endpoint())
				}
			})
		})
	}
}

// TestInstanceThatIsNotWhoItSays: readers, and then the new writer, have certificates for
// other hosts, or by somebody else, or no TLS at all. Nothing is sent to them.
func TestInstanceThatIsNotWhoItSays(t *testing.T) {
	for name, spoil := range map[string]struct {
		do   func(b *secured, i *aurorasim.Instance) error
		want string
	}{
		"another host": {func(b *secured, i *aurorasim.Instance) error {
			// The endpoint's name is verified where that was dialled, not here.
			endpoint, _, _ := net.SplitHostPort(b.sim.Endpoint())
			return i.Certify("other.example.com", "other."+i.ID+".example.com", endpoint)
		}, "certificate is valid for other.example.com"},
		"no TLS": {func(_ *secured, i *aurorasim.Instance) error { i.NoTLS(); return nil }, "does not support TLS"},
	} {
		for _, way := range append(ways, "tls=preferred") {
			if way == "tls=preferred" && name != "no TLS" {
				continue // it verifies nothing
			}
			t.Run(name+"/"+way, func(t *testing.T) {
				secure(t, way, func(b *secured) {
					b.must(b.exec(b.db, insert))
					for _, id := range []string{"instance-2", "instance-3"} {
						b.must(spoil.do(b, b.sim.Instance(id)))
					}
					b.must(b.sim.Writer().Crash(b.Context()))
					if _, err := b.rows(b.soon(), b.db, selectOne); !errors.Is(err, context.DeadlineExceeded) {
						b.Errorf("got %v", err)
					}
					b.must(b.sim.Promote(b.Context(), "instance-2"))
					time.Sleep(5 * time.Second)
					_, err := b.db.ExecContext(b.soon(), insert)
					if b.c.Snapshot().Writer() != nil || err == nil {
						b.Errorf("%s; %v", b.c.Snapshot(), err)
					}
					for _, id := range []string{"instance-2", "instance-3"} {
						b.sealed(b.sim.Instance(id).Endpoint())
						if n := b.sim.Instance(id).Stats().Sent; n != 0 {
							b.Errorf("%d commands reached %s", n, id)
						}
					}
					if b.log.count(spoil.want) == 0 {
						b.Errorf("the log does not say %q:\n%s", spoil.want, b.log.text.String())
					}
					// They are what they were meant to be again.
					for _, id := range []string{"instance-2", "instance-3"} {
						b.must(b.sim.Instance(id).Certify())
					}
					b.must(b.exec(b.db, insert))
					b.sealed(b.sim.Instance("instance-2").Endpoint())
				})
			})
		}
	}
}

// TestReaderThatIsNotWhoItSays: reads go to the other one, and nobody gets an error.
func TestReaderThatIsNotWhoItSays(t *testing.T) {
	for name, spoil := range map[string]func(i *aurorasim.Instance) error{
		"another host": func(i *aurorasim.Instance) error { return i.Certify("other.example.com") },
		"no TLS":       func(i *aurorasim.Instance) error { i.NoTLS(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 { // which one is asked first is chance
				secure(t, theCA, func(b *secured) {
					b.must(b.exec(b.db, insert))
					two := b.sim.Instance("instance-2")
					b.must(spoil(two))
					b.must(b.sim.Writer().Crash(b.Context()))
					for range 20 {
						b.takes(0, b.read(b.db))
						if got := b.instanceOf(selectOne); got != "instance-3" {
							b.Errorf("read on %s", got)
						}
					}
					time.Sleep(time.Second) // the monitor has looked into it
					if in := b.c.Snapshot().Lookup(two.ID); in.State != topology.StateDown || two.Stats().Sent != 0 {
						b.Errorf("%s: %+v", b.c.Snapshot(), two.Stats())
					}
					b.sealed(two.Endpoint())
					b.must(two.Certify())
					time.Sleep(6 * time.Second)
					if in := b.c.Snapshot().Lookup(two.ID); in.State != topology.StateUp {
						b.Errorf("mended: %s", b.c.Snapshot())
					}
				})
			}
		})
	}
}

// TestPreferredTLS: who has no TLS at all gets by without it, as the wrapped driver would.
func TestPreferredTLS(t *testing.T) {
	secure(t, "tls=preferred", func(b *secured) {
		all := []string{"instance-1", "instance-2", "instance-3"}
		for _, id := range all {
			b.sim.Instance(id).NoTLS()
		}
		b.must(b.exec(b.db, insert))
		b.failover(aurorasim.Kill)
		b.must(b.exec(b.db, insert))
		if clear, _ := b.tap.clear(b.sim.Instance("instance-2").Endpoint()); !clear {
			b.Error("this test is about something else")
		}
		// From the first time that the new writer has spoken TLS, it cannot do without.
		for _, id := range all {
			b.must(b.sim.Instance(id).Certify())
		}
		w := b.sim.Writer()
		w.ResetConnections()
		b.must(b.exec(b.db, insert))
		w.NoTLS()
		w.ResetConnections()
		before := len(b.sim.Seen(insert))
		_, err := b.db.ExecContext(b.soon(), insert)
		if err == nil || len(b.sim.Seen(insert)) != before {
			b.Errorf("executed, %v", err)
		}
		if b.log.count("with tls=preferred nothing is sent to it in clear") == 0 {
			b.Errorf("the log does not say why:\n%s", b.log.text.String())
		}
	})
}

// TestAuthorityChanges: the file of fpTLSCA is read again for new connections.
func TestAuthorityChanges(t *testing.T) {
	secure(t, theCA+"&fpPoolMaxIdle=0", func(b *secured) {
		const changed, broken = "fpTLSCA has changed", "fpTLSCA cannot be used as it is now"
		write := func(text []byte) {
			b.Helper()
			next := b.file + ".new"
			b.must(os.WriteFile(next, text, 0o600))
			b.must(os.Rename(next, b.file))
		}
		b.must(b.exec(b.db, insert))
		// Broken in several ways: what was good stays in force, and each is said once.
		for _, text := range []string{"", "no certificate", keyPEM(b.T), string(b.sim.AuthorityPEM()[:200])} {
			write([]byte(text))
			for range 5 {
				b.must(b.exec(b.db, insert))
			}
		}
		b.must(os.Remove(b.file))
		b.must(b.exec(b.db, insert))
		if n := b.log.count(broken); n != 4 || b.log.count("no such file") != 1 || b.log.count("private key in it") != 1 || b.log.count("middle of a certificate") != 1 {
			b.Errorf("said %d times:\n%s", n, b.log.text.String())
		}
		if b.log.count("BEGIN") > 0 || b.log.count(changed) > 0 {
			b.Errorf("logged %s", b.log.text.String())
		}
		// Others sign now: whoever does not know them connects no more.
		old := b.sim.AuthorityPEM()
		b.must(b.sim.Reissue())
		_, err := b.db.ExecContext(b.soon(), insert)
		if err == nil {
			b.Error("a certificate by somebody else was taken")
		}
		write(append(old, b.sim.AuthorityPEM()...)) // as bundles are while certificates are renewed
		time.Sleep(6 * time.Second)
		b.must(b.exec(b.db, insert))
		if n := b.log.count(changed); n != 1 {
			b.Errorf("said %d times", n)
		}
		write(old)
		if _, err := b.db.ExecContext(b.soon(), insert); err == nil {
			b.Error("a certificate was taken by somebody who is not on the list any more")
		}
	})
}

// TestBadAuthority: a file that was never good is an error of the connector, which names key
// and file and shows nothing of it.
func TestBadAuthority(t *testing.T) {
	dir := t.TempDir()
	key := keyPEM(t)
	for name, tc := range map[string]struct{ text, want string }{
		"empty.pem":   {"", "there is no certificate in it"},
		"text.pem":    {"c4n4ry, no certificate", "there is no certificate in it"},
		"key.pem":     {key, "there is a private key in it, and no certificate"},
		"cut.pem":     {"-----BEGIN CERTIFICATE-----\nc4n4ryAAAA\n", "it ends in the middle of a certificate"},
		"garbage.pem": {"-----BEGIN CERTIFICATE-----\nYzRuNHJ5\n-----END CERTIFICATE-----\n", "none of the certificates in it can be read"},
		"long.pem":    {strings.Repeat("c4n4ry\n", longestBundle/7+1), "longer than any bundle"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		badAuthority(t, file, tc.want)
	}
	badAuthority(t, filepath.Join(dir, "missing.pem"), "there is no such file")
	badAuthority(t, dir, "it is a directory, or no file at all")
	badAuthority(t, "rela\x00tive.pem", "it cannot be read: invalid argument")
}

func badAuthority(t *testing.T, file, want string) {
	t.Helper()
	cfg := NewConfig()
	cfg.TLSCA, cfg.MySQL.Passwd = file, "hunter22"
	_, err := NewConnector(cfg)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "failoverproxy: fpTLSCA: ") {
		t.Errorf("%s: got %v, want %q", file, err, want)
		return
	}
	if msg := err.Error(); strings.Contains(msg, "c4n4ry") || strings.Contains(msg, "YzRu") || strings.Contains(msg, "BEGIN") || strings.Contains(msg, "hunter22") {
		t.Errorf("contents in: %s", msg)
	}
	if _, err := sql.Open(Name, cfg.FormatDSN()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("sql.Open: %v", err)
	}
}

// TestAuthorityConflicts are those that no DSN can have.
func TestAuthorityConflicts(t *testing.T) {
	for want, change := range map[string]func(m *mysql.Config){
		"MySQL.TLS has InsecureSkipVerify": func(m *mysql.Config) { m.TLS = &tls.Config{InsecureSkipVerify: true} },
		"tls=false":                        func(m *mysql.Config) { m.TLSConfig = "false" },
		"allowFallbackToPlaintext=true":    func(m *mysql.Config) { m.AllowFallbackToPlaintext = true },
	} {
		cfg := NewConfig()
		cfg.TLSCA = "ca.pem"
		change(cfg.MySQL)
		if _, err := NewConnector(cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "fpTLSCA") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestAuthorityIsReadOnce: a file that has not changed is not read, and one that was read in
// vain is, whatever its time says.
func TestAuthorityIsReadOnce(t *testing.T) {
	secure(t, theCA, func(b *secured) {
		a, err := newAuthority(b.file, slog.New(slog.DiscardHandler))
		b.must(err)
		first := a.roots()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if a.roots() != first {
					b.Error("read again")
				}
			})
		}
		all.Wait()
		old, err := os.Stat(b.file)
		b.must(err)
		b.must(b.sim.Reissue())
		b.must(os.WriteFile(b.file, []byte("nothing"), 0o600))
		if a.roots() != first {
			b.Error("what was good is not in force any more")
		}
		b.must(os.WriteFile(b.file, b.sim.AuthorityPEM(), 0o600))
		b.must(os.Chtimes(b.file, old.ModTime(), old.ModTime()))
		if second := a.roots(); second == first || second.Equal(first) || !second.Equal(b.sim.Authority()) {
			b.Error("not read again")
		}
	})
}

// keyPEM is what people mistake for a certificate.
func keyPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
