package aurorasim

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	"github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// scripted starts a cluster over a fake server with a script.
func scripted(t *testing.T, cfg Config, fake fakemysql.Config) *rig {
	t.Helper()
	s := fakemysql.New(fake)
	t.Cleanup(s.Close)
	cfg.Upstream = FakeServer(s)
	return start(t, cfg)
}

func TestTLS(t *testing.T) {
	for name, fake := range map[string]fakemysql.Config{
		"native": {Users: map[string]string{testUser: testPassword}},
		"caching_sha2, password in clear text": {
			Users: map[string]string{testUser: testPassword}, AuthPlugin: wire.CachingSHA2Password,
		},
		"switched to caching_sha2": {
			Users: map[string]string{testUser: testPassword}, UserPlugins: map[string]string{testUser: wire.CachingSHA2Password},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := scripted(t, Config{TLS: true}, fake)
			withTLS := func(c *mysql.Config) { c.TLS = &tls.Config{RootCAs: r.Authority()} }
			for range 2 { // the second time caching_sha2_password needs no full exchange
				for _, addr := range []string{r.Endpoint(), r.ReaderEndpoint(), r.Instance("instance-3").Endpoint()} {
					wantShow(t, r.conn(addr, withTLS), "1", "SELECT 1")
				}
			}
			wantShow(t, r.conn(r.Endpoint()), "1", "SELECT 1") // without TLS
			_, err := r.open(r.Endpoint(), withTLS, func(c *mysql.Config) { c.Passwd = "wrong" }).Conn(t.Context())
			wantErrno(t, err, 1045, "a wrong password")
			// The certificate is that of its host, and of no other.
			_, err = r.open(r.Instance("instance-2").Endpoint(), func(c *mysql.Config) {
				c.TLS = &tls.Config{RootCAs: r.Authority(), ServerName: strings.TrimSuffix(r.Instance("instance-1").Endpoint(), ":3306")}
			}).Conn(t.Context())
			if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
				t.Errorf("another host's name: %v, want a refused certificate", err)
			}
			_, err = r.open(r.Endpoint(), func(c *mysql.Config) { c.TLS = &tls.Config{} }).Conn(t.Context())
			if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
				t.Errorf("without the authority: %v, want a refused certificate", err)
			}
		})
	}
}

// TestTLSOverServers logs in over TLS where the upstream's leg has none. On MySQL the
// method is caching_sha2_password, with a full exchange after FLUSH PRIVILEGES.
func TestTLSOverServers(t *testing.T) {
	eachServer(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{TLS: true})
		for _, withTLS := range []bool{true, false} {
			exec(t, r.direct(), "FLUSH PRIVILEGES")
			for range 2 {
				c := r.conn(r.Endpoint(), func(c *mysql.Config) {
					if withTLS {
						c.TLS = &tls.Config{RootCAs: r.Authority()}
					}
				})
				wantShow(t, c, "0", "SELECT @@innodb_read_only")
				_ = c.Close()
			}
			_, err := r.open(r.Endpoint(), func(c *mysql.Config) {
				c.Passwd = "wrong"
				if withTLS {
					c.TLS = &tls.Config{RootCAs: r.Authority()}
				}
			}).Conn(t.Context())
			wantErrno(t, err, 1045, "a wrong password")
		}
	})
}

func TestRequireTLS(t *testing.T) {
	r := scripted(t, Config{RequireTLS: true}, fakemysql.Config{})
	_, err := r.open(r.Endpoint()).Conn(t.Context())
	wantErrno(t, err, 3159, "a client without TLS")
	wantShow(t, r.conn(r.Endpoint(), func(c *mysql.Config) { c.TLS = &tls.Config{RootCAs: r.Authority()} }), "1", "SELECT 1")
	if len(r.AuthorityPEM()) == 0 {
		t.Error("no PEM")
	}
}

func TestNoTLS(t *testing.T) {
	r := scripted(t, Config{}, fakemysql.Config{})
	_, err := r.open(r.Endpoint(), func(c *mysql.Config) { c.TLS = &tls.Config{RootCAs: r.Authority()} }).Conn(t.Context())
	if !errors.Is(err, mysql.ErrNoTLS) {
		t.Errorf("error %v, want that the server has no TLS", err)
	}
}

// TestCapabilities checks what a client sees of the upstream's features.
func TestCapabilities(t *testing.T) {
	fake := fakemysql.Config{Capabilities: wire.DefaultCapabilities | wire.ClientCompress | wire.ClientSSL}
	r := scripted(t, Config{}, fake)
	c, err := dialInstance(t, r.Writer(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	p, err := wire.ReadPacket(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	g, err := wire.ParseGreeting(p.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if want := wire.DefaultCapabilities; g.Capabilities != want {
		t.Errorf("capabilities %#x, want %#x", g.Capabilities, want)
	}
	if !g.Capabilities.Has(wire.ClientSessionTrack) {
		t.Error("session tracking is not offered")
	}
}

// TestSessionTrack speaks the protocol by hand, as no Go driver asks for it.
func TestSessionTrack(t *testing.T) {
	track := fakemysql.Track{Type: wire.TrackStateChange, Value: "1"}
	r := scripted(t, Config{}, fakemysql.Config{
		Handler: fakemysql.NewScript().On("SET @a = 1", fakemysql.Result{Track: []fakemysql.Track{track}}),
	})
	c, err := dialInstance(t, r.Writer(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	send := func(seq byte, payload []byte) []byte {
		t.Helper()
		if payload != nil {
			if err := wire.WritePacket(c, wire.Packet{Seq: seq, Payload: payload}); err != nil {
				t.Fatal(err)
			}
		}
		p, err := wire.ReadPacket(c, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p.Payload
	}
	g, err := wire.ParseGreeting(send(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	caps := g.Capabilities &^ (wire.ClientConnectWithDB | wire.ClientConnectAttrs)
	hello := wire.Handshake{User: "u", Plugin: wire.NativePassword, SSLRequest: wire.SSLRequest{Capabilities: caps}}
	if _, err := wire.ParseOK(send(1, hello.Append(nil)), caps); err != nil {
		t.Fatal(err)
	}
	ok, err := wire.ParseOK(send(0, append([]byte{byte(wire.ComQuery)}, "SET @a = 1"...)), caps)
	if err != nil || len(ok.Track) != 1 || ok.Track[0] != track || ok.Status&wire.StatusSessionStateChanged == 0 {
		t.Errorf("the answer %+v, %v", ok, err)
	}
	// COM_RESET_CONNECTION and COM_CHANGE_USER.
	if _, err := wire.ParseOK(send(0, []byte{byte(wire.ComResetConnection)}), caps); err != nil {
		t.Error(err)
	}
	if e, err := wire.ParseError(send(0, []byte{byte(wire.ComBinlogDump), 0})); err != nil || e.Number != 1047 {
		t.Errorf("a replica's command: %+v, %v", e, err)
	}
	if _, err := wire.ParseOK(send(0, []byte{byte(wire.ComPing)}), caps); err != nil {
		t.Error(err)
	}
}

func TestLoopback(t *testing.T) {
	s := fakemysql.New(fakemysql.Config{})
	defer s.Close()
	port := freePort(t)
	c, err := Start(t.Context(), Config{Network: Loopback, Port: port, Upstream: FakeServer(s)})
	if err != nil {
		t.Skipf("not all of 127/8 is local here: %v", err)
	}
	defer func() { _ = c.Close() }()
	r := &rig{c, t, login{user: testUser}}
	if got := r.Instance("instance-2").Addr(); !strings.HasPrefix(got, "127.0.0.12:") {
		t.Errorf("the second instance is at %s", got)
	}
	addrs, err := r.Resolve(t.Context(), strings.TrimSuffix(r.Instance("instance-3").Endpoint(), ":"+portText(port)))
	if err != nil || len(addrs) != 1 || addrs[0] != "127.0.0.13" {
		t.Errorf("resolved %v, %v", addrs, err)
	}
	// By its own address, without the cluster's dial function.
	db := r.open(net.JoinHostPort("127.0.0.13", portText(port)), func(c *mysql.Config) { c.DialFunc = nil })
	wantShow(t, db, "instance-3", "SELECT @@aurora_server_id")
	_ = db.Close()
}

func freePort(t *testing.T) int {
	t.Helper()
	address, release, err := reservePort("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	release()
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return tcp.Port
}

func portText(port int) string { return str(int64(port)) }

// TestMemory runs a failover with delays of hours in a synctest bubble.
func TestMemory(t *testing.T) {
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, err := Start(t.Context(), Config{Network: Memory, Upstream: Fake(), TLS: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			r := &rig{c, t, login{user: testUser}}
			r.ledger()
			db := r.open(r.Endpoint(), func(cfg *mysql.Config) { cfg.TLS = &tls.Config{RootCAs: r.Authority()} })
			defer func() { _ = db.Close() }()
			wantShow(t, db, "instance-1", "SELECT @@aurora_server_id")
			exec(t, db, ledgerInsert, 1, 1)
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, tx, ledgerInsert, 1, 2)
			began := time.Now()
			if err := r.Failover(t.Context(), Failover{Kind: Frozen, PromoteAfter: time.Hour, DNSAfter: time.Hour, RestartAfter: 3 * time.Hour}); err != nil {
				t.Fatal(err)
			}
			const slack = 10 * killPoll // fencing takes a moment
			if got := r.PromotedAt().Sub(began); got < time.Hour || got > time.Hour+slack {
				t.Errorf("promoted after %v", got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := result(ctx, db, "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the frozen instance, which the name leads to: %v", err)
			}
			if err := r.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got < 5*time.Hour || got > 5*time.Hour+slack { // 1h + 3h + one more flip of the name
				t.Errorf("settled after %v", got)
			}
			wantShow(t, db, "instance-2", "SELECT @@aurora_server_id")
			if err := tx.Commit(); err == nil {
				t.Error("a COMMIT through the old writer succeeded")
			}
			exec(t, db, ledgerInsert, 1, 3)
			wantShow(t, db, "1 1; 1 3", "SELECT worker, seq FROM fp_ledger ORDER BY id")
			hole := r.Writer().BlackHole()
			short, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			if _, err := r.DialContext(short, "tcp", r.Endpoint()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a black hole: %v", err)
			}
			hole.Clear()
		})
	})
}

func TestMemConn(t *testing.T) {
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pipe := func() (a, b *memConn) {
				return newMemPipe(&net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 2})
			}
			a, b := pipe()
			if _, err := a.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			_ = a.Close()
			got, err := io.ReadAll(b)
			if string(got) != "hello" || err != nil {
				t.Errorf("after Close the peer read %q, %v", got, err)
			}
			if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the peer wrote: %v", err)
			}
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a closed end read: %v", err)
			}
			a, b = pipe()
			_, _ = a.Write([]byte("hi"))
			a.reset()
			got, err = io.ReadAll(b)
			if string(got) != "hi" || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after a reset the peer read %q, %v", got, err)
			}
			if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after a reset the peer wrote: %v", err)
			}
			a, b = pipe()
			_ = a.SetDeadline(time.Now().Add(time.Hour))
			began := time.Now()
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Hour {
				t.Errorf("read: %v after %v", err, time.Since(began))
			}
			_ = a.SetDeadline(time.Now().Add(time.Hour))
			n, err := a.Write(make([]byte, memBuffer+1))
			if n != memBuffer || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
			_ = a.SetDeadline(time.Time{})
			go func() {
				time.Sleep(time.Hour)
				_, _ = b.Read(make([]byte, 10))
			}()
			if _, err := a.Write(make([]byte, 10)); err != nil {
				t.Errorf("write with room again: %v", err)
			}
			synctest.Wait()
			_ = a.Close()
			_ = b.Close()
		})
	})
}

// TestFollows has answers of every form.
func TestFollows(t *testing.T) {
	eachServer(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{})
		r.ledger()
		c := r.conn(r.Endpoint(), func(cfg *mysql.Config) { cfg.MultiStatements = true })
		rows, err := c.QueryContext(t.Context(), "SELECT 1; SELECT 2, 3; DO 1; SELECT 4")
		if err != nil {
			t.Fatal(err)
		}
		results := 1
		for rows.NextResultSet() {
			results++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || results < 3 {
			t.Errorf("%d results, %v", results, err)
		}
		big := strings.Repeat("x", 1<<20)
		var got string
		for range 3 {
			if err := c.QueryRowContext(t.Context(), "SELECT CONCAT(?, ?)", big, big).Scan(&got); err != nil || got != big+big {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
		}
		if err := c.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
		wantShow(t, c, "0", "SELECT @@aurora_server_id IS NULL")
	})
}

// TestFile lets a client send a file's contents.
func TestFile(t *testing.T) {
	mysqld.Each(t, func(t *testing.T, s *mysqld.Server) {
		if err := s.Exec(t.Context(), "CREATE DATABASE fp"); err != nil {
			t.Fatal(err)
		}
		r := server(t, s, "fp").start(t, Config{})
		r.ledger()
		c := r.conn(r.Endpoint())
		mysql.RegisterReaderHandler("aurorasim", func() io.Reader { return strings.NewReader("5\t6\n7\t8\n") })
		defer mysql.DeregisterReaderHandler("aurorasim")
		const load = "LOAD DATA LOCAL INFILE 'Reader::aurorasim' INTO TABLE fp_ledger (worker, seq)"
		exec(t, c, load)
		wantShow(t, c, "5 6; 7 8", "SELECT worker, seq FROM fp_ledger ORDER BY id")
		wantErrno(t, try(t, r.conn(r.ReaderEndpoint()), load), 1290, "on a reader")
	}, mysqld.WithArgs("--local-infile=1"))
}

// TestHugePackets sends a statement and an answer of several frames.
func TestHugePackets(t *testing.T) {
	s := fakemysql.New(fakemysql.Config{Handler: fakemysql.NewScript().OnPrefix("SELECT LENGTH", func(_ context.Context, c fakemysql.Call) fakemysql.Reply {
		return fakemysql.Rows([]fakemysql.Column{fakemysql.Text("x")}, []any{c.SQL})
	})})
	defer s.Close()
	r := start(t, Config{Upstream: FakeServer(s)})
	c := r.conn(r.Endpoint(), func(cfg *mysql.Config) { cfg.MaxAllowedPacket = 64 << 20 })
	query := "SELECT LENGTH('" + strings.Repeat("y", wire.MaxPayload+100) + "')"
	var got string
	if err := c.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != query {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(query), err)
	}
	wantShow(t, c, "1", "SELECT 1")
}
