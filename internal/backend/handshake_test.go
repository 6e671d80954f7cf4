package backend

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/failoverproxy/failoverproxy/internal/testutil/fakemysql"
	"github.com/failoverproxy/failoverproxy/internal/testutil/mysqld"
	proto "github.com/failoverproxy/failoverproxy/internal/testutil/wire"
)

// greeting is a server's first packet.
func greeting(version string, thread uint32, upper uint16) []byte {
	p := append([]byte{10}, version...)
	p = append(p, 0)
	p = binary.LittleEndian.AppendUint32(p, thread)
	p = append(p, "12345678\x00\xff\xff\x08\x02\x00"...)
	p = binary.LittleEndian.AppendUint16(p, upper)
	p = append(p, 21)
	p = append(p, make([]byte, 10)...)
	p = append(p, "123456789012\x00mysql_native_password\x00"...)
	return append([]byte{byte(len(p)), 0, 0, 0}, p...)
}

func TestHandshake(t *testing.T) {
	const track = clientSessionTrack >> 16
	refused := append([]byte{23, 0, 0, 0, 0xff, 0x10, 0x04}, "Too many connections"...)
	for name, test := range map[string]struct {
		greeting        []byte
		thread          uint32
		mariaDB, tracks bool
	}{
		"MySQL":                   {greeting("9.7.0", 0x01020304, 0xdfff), 0x01020304, false, true},
		"MariaDB":                 {greeting("5.5.5-10.11.6-MariaDB", 7, 0x81ff|track), 7, true, true},
		"without the capability":  {greeting("5.6.0", 9, 0xffff&^track), 9, false, false},
		"1040":                    {refused, 0, false, false},
		"cut short":               {[]byte{3, 0, 0, 0, 10, 'x', 0}, 0, false, false},
		"version without an end":  {append([]byte{50, 0, 0, 0, 10}, bytes.Repeat([]byte{'8'}, 49)...), 0, false, false},
		"empty packet":            {[]byte{0, 0, 0, 0}, 0, false, false},
		"protocol 9":              {[]byte{5, 0, 0, 0, 9, 'x', 0, 1, 0}, 0, false, false},
		"something else entirely": {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 0, false, false},
	} {
		for _, step := range []int{1, 3, 4, 1 << 10} {
			t.Run(fmt.Sprintf("%s by %d", name, step), func(t *testing.T) {
				var h handshake
				rest := append(bytes.Clone(test.greeting), "what comes later"...)
				for len(rest) > 0 {
					n := min(step, len(rest))
					h.received(rest[:n])
					rest = rest[n:]
				}
				if !h.read || h.greeting != nil || h.threadID != test.thread || h.mariaDB != test.mariaDB || h.tracks != test.tracks {
					t.Errorf("%+v", h)
				}
				packet := append([]byte{32, 0, 0, 1}, make([]byte, 32)...)
				packet[6] = 0x0a
				before := bytes.Clone(packet)
				got := h.first(packet)
				if !bytes.Equal(packet, before) {
					t.Error("the caller's buffer was changed")
				}
				if want := before[6] | map[bool]byte{true: track}[test.tracks]; got[6] != want || len(got) != len(packet) || !h.sent {
					t.Errorf("capabilities %x, want %x", got[6], want)
				}
				got[6] = before[6]
				if !bytes.Equal(got, before) {
					t.Error("something else was changed")
				}
			})
		}
	}
}

func TestStrangeFirstPackets(t *testing.T) {
	for _, p := range [][]byte{nil, {1, 0, 0}, {3, 0, 0, 1, 1, 2, 3}, append([]byte{32, 0, 0, 0}, make([]byte, 32)...)} {
		h := handshake{read: true, tracks: true}
		if got := h.first(p); !bytes.Equal(got, p) || h.tracks {
			t.Errorf("%x became %x, tracks %v", p, got, h.tracks)
		}
	}
}

func TestServerWithoutTracking(t *testing.T) {
	script := fakemysql.NewScript()
	server := fakemysql.New(fakemysql.Config{Handler: script, Capabilities: proto.DefaultCapabilities &^ proto.ClientSessionTrack})
	defer server.Close()
	my := mysql.NewConfig()
	my.User, my.Net = "u", "tcp"
	b := connect(t, NewDialer(Config{MySQL: my, Dial: server.Dial, Logger: &mysql.NopLogger{}}))
	if err := b.Track(t.Context()); err != nil || b.Tracks() || script.Count("SET session_track_state_change = ON") != 0 {
		t.Errorf("%v, tracks %v", err, b.Tracks())
	}
	server.Refuse(&fakemysql.Error{Number: 1040, Message: "Too many connections"})
	if _, err := NewDialer(Config{MySQL: my, Dial: server.Dial, Logger: &mysql.NopLogger{}}).Connect(t.Context(), "i-1:3306"); err == nil {
		t.Error("no error")
	}
}

// TestTrackingOnRealServers: whatever is between, the server says that session state
// changed, and the thread's number is right.
func TestTrackingOnRealServers(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *mysqld.Server{
		"mariadb": func(t *testing.T) *mysqld.Server { return mysqld.MariaDB(t, mysqld.WithArgs(certificate(t)...)) },
		"mysql":   func(t *testing.T) *mysqld.Server { return mysqld.MySQL(t) }, // makes its own
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			for name, change := range map[string]func(c *mysql.Config){
				"plain":      func(*mysql.Config) {},
				"TLS":        func(c *mysql.Config) { c.TLS = &tls.Config{InsecureSkipVerify: true} },
				"compressed": func(c *mysql.Config) { _ = c.Apply(mysql.EnableCompression(true)) },
				"TLS and compressed": func(c *mysql.Config) {
					c.TLS = &tls.Config{InsecureSkipVerify: true}
					_ = c.Apply(mysql.EnableCompression(true))
				},
				"unix socket":          func(c *mysql.Config) { c.Net = "unix" },
				"greeting in pieces":   func(c *mysql.Config) { c.DialFunc = dialSlowly },
				"TLS, greeting pieces": func(c *mysql.Config) { c.DialFunc = dialSlowly; c.TLS = &tls.Config{InsecureSkipVerify: true} },
			} {
				t.Run(name, func(t *testing.T) { tracking(t, s, change) })
			}
		})
	}
}

func tracking(t *testing.T, s *mysqld.Server, change func(c *mysql.Config)) {
	my, err := mysql.ParseDSN(s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	change(my)
	addr := s.Addr()
	if my.Net == "unix" {
		if addr = s.Socket; addr == "" {
			t.Skip("the path of the socket is too long")
		}
	}
	b, err := NewDialer(Config{MySQL: my, Logger: &mysql.NopLogger{}}).Connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	answer, err := b.Ask(t.Context(), "SELECT CONNECTION_ID()")
	if err != nil || fmt.Sprint(answer[0]) != fmt.Sprint(b.ThreadID()) || b.MariaDB() != (s.Flavor == mysqld.FlavorMariaDB) {
		t.Errorf("%v is %d, MariaDB %v: %v", answer, b.ThreadID(), b.MariaDB(), err)
	}
	for variable, want := range map[string]bool{"Ssl_cipher": my.TLS != nil, "Compression": strings.Contains(my.FormatDSN(), "compress=true")} {
		answer, err := b.Ask(t.Context(), "SHOW STATUS LIKE '"+variable+"'")
		if err != nil || len(answer) != 2 || (fmt.Sprint(answer[1]) != "" && fmt.Sprint(answer[1]) != "OFF") != want {
			t.Errorf("%s: %v, %v", variable, answer, err)
		}
	}
	if err := b.Track(t.Context()); err != nil || !b.Tracks() {
		t.Fatalf("%v, tracks %v", err, b.Tracks())
	}
	for query, changes := range map[string]bool{"SET @a = 1": true, "DO 1": false, "SET sql_mode = 'ANSI'": true, "FLUSH STATUS": false} {
		if exec(t, b, query); b.Changed() != changes {
			t.Errorf("%s: changed %v", query, b.Changed())
		}
	}
	if err := b.ResetSession(t.Context()); err != nil {
		t.Error(err)
	}
}

// dialSlowly lets the client read byte by byte.
func dialSlowly(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return slow{c}, err
}

type slow struct{ net.Conn }

func (s slow) Read(p []byte) (int, error) { return s.Conn.Read(p[:min(1, len(p))]) }

// certificate makes files of a certificate and returns the server's arguments for them.
func certificate(t *testing.T) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var args []string
	for _, f := range []struct {
		option, block string
		bytes         []byte
	}{{"cert", "CERTIFICATE", der}, {"ca", "CERTIFICATE", der}, {"key", "PRIVATE KEY", secret}} {
		name := filepath.Join(dir, f.option+".pem")
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: f.block, Bytes: f.bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--ssl-"+f.option+"="+name)
	}
	return args
}

// TestBrokenGreetings: a peer that sends part of a greeting in a whole packet is left at once, and nothing stays
// behind: no connection, and no goroutine of the wrapped driver's.
func TestBrokenGreetings(t *testing.T) {
	short := greeting("9.7.0", 7, 0xdfff)[4:]
	for name, packet := range map[string][]byte{
		"the protocol":         {10},
		"version without end":  append([]byte{10}, bytes.Repeat([]byte{'8'}, 9)...),
		"no capabilities":      {10, '9', 0, 1, 0, 0, 0, 'a', 'b'},
		"cut in the middle":    short[:30],
		"half a scramble":      short[:45],
		"an error without any": {0xff},
		"nothing":              {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				my := mysql.NewConfig()
				my.User, my.Net = "u", "tcp"
				left := make(chan struct{})
				d := NewDialer(Config{MySQL: my, Logger: &mysql.NopLogger{}, Dial: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						defer close(left)
						_, _ = theirs.Write(append([]byte{byte(len(packet)), 0, 0, 0}, packet...))
						_, _ = io.Copy(io.Discard, theirs)
					}()
					return ours, nil
				}})
				start := time.Now()
				b, err := d.Connect(t.Context(), "db:3306")
				if err == nil {
					b.Close()
				}
				if err == nil || time.Since(start) != 0 || strings.Contains(err.Error(), "runtime error") {
					t.Errorf("%v after %s", err, time.Since(start))
				}
				<-left
			})
		})
	}
}
