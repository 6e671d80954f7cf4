package topology

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// address is where a fake connection leads.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// RemoteAddr hides that of no test that does not ask for it: only the dns provider does.
func (f *fakeConn) RemoteAddr() net.Addr {
	if f.server.nowhere {
		return nil
	}
	return cmp.Or(f.address, address("10.0.0."+f.server.id))
}

// named makes an instance, 1, and its standby, 2, with one name.
func named() (*cluster, Config) {
	c := newCluster("1", "2")
	c.server("2").readOnly = true
	return c, Config{Provider: dnsName, Seeds: []string{endpoint}}
}

// lead lets the name lead to a server.
func (c *cluster) lead(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[endpoint] = id + domain
}

func TestDNSFailover(t *testing.T) {
	c, cfg := named()
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		w.expect(t, "epoch 1: 10.0.0.1 writer up")
		if in := w.Snapshot().Writer(); in.Addr != endpoint {
			t.Errorf("its address is %s, so that its certificate is not checked against the name", in.Addr)
		}
		pass(time.Minute)
		if n := w.Connections(); n != 0 {
			t.Errorf("%d connections that tell nothing of the name", n)
		}
		c.set("1", refusing)
		w.Suspect("10.0.0.1", w.Snapshot().Epoch, ReasonConnectionLost)
		w.expect(t, "epoch 2: 10.0.0.1 writer down")
		before := len(c.dials())
		pass(20 * time.Second)
		if n := len(c.dials()) - before; n < 39 || n > 41 {
			t.Errorf("the name was resolved %d times in 20 s, want every 500 ms", n)
		}
		// The standby is up, and takes no writes before it has recovered.
		c.lead("2")
		pass(time.Second)
		w.expect(t, "epoch 3: 10.0.0.2 reader up")
		c.do("2", func(s *server) { s.readOnly = false })
		pass(500 * time.Millisecond)
		w.expect(t, "epoch 4: 10.0.0.2 writer up")
		if got := w.Snapshot().LastWriter(); got != "10.0.0.2" {
			t.Error(got)
		}
		// An hour later it fails back.
		c.set("1", healthy)
		pass(time.Hour)
		c.set("2", refusing)
		c.lead("1")
		w.Suspect("10.0.0.2", w.Snapshot().Epoch, ReasonConnectionLost)
		pass(24 * time.Second)
		if in := w.Snapshot().Writer(); in != nil {
			t.Errorf("an old address is believed at once: %s", w.Snapshot())
		}
		pass(12 * time.Second)
		if in := w.Snapshot().Writer(); in == nil || in.ID != "10.0.0.1" {
			t.Errorf("an old address is never believed again: %s", w.Snapshot())
		}
	})
}

// TestDNSOldWriterGoesOn: nothing fails, but the name leads elsewhere. The old server answers
// on, and takes writes.
func TestDNSOldWriterGoesOn(t *testing.T) {
	for name, verify := range map[string]bool{"the poll sees it": false, "the pool sees it": true} {
		t.Run(name, func(t *testing.T) {
			c, cfg := named()
			bubble(t, c, cfg, func(t *testing.T, w *watched) {
				w.discover(t)
				pass(time.Minute)
				c.do("2", func(s *server) { s.readOnly = false })
				c.lead("2")
				if verify {
					conn, err := c.dial(t.Context(), endpoint)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if _, err := w.Verify(ctx, conn, "10.0.0.1", Writer); err == nil || !strings.Contains(err.Error(), "found 10.0.0.2 as writer") {
						t.Errorf("a connection to the new address passes for one to the old: %v", err)
					}
					conn.Close()
					w.Suspect("10.0.0.1", w.Snapshot().Epoch, ReasonConnect)
					synctest.Wait()
				} else {
					pass(5500 * time.Millisecond)
				}
				w.expect(t, "epoch 2: 10.0.0.2 writer up")
			})
		})
	}
}

// TestDNSFlaps: one resolver is behind, so that the name leads to either server, both of
// which take writes. The old one is never used again.
func TestDNSFlaps(t *testing.T) {
	c, cfg := named()
	cfg.Interval = time.Second
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		c.do("2", func(s *server) { s.readOnly = false })
		c.lead("2")
		pass(2 * time.Second)
		w.expect(t, "epoch 2: 10.0.0.2 writer up")
		for i := range 300 {
			c.lead(map[bool]string{true: "1", false: "2"}[i%3 != 0])
			pass(700 * time.Millisecond)
			w.expect(t, "epoch 2: 10.0.0.2 writer up") // or work there would be cut off
		}
		c.lead("1")
		w.Suspect("10.0.0.2", 2, ReasonConnectionLost)
		pass(2 * time.Second)
		w.expect(t, "epoch 2: 10.0.0.2 writer suspect")
		if err := w.Probe(t.Context(), "10.0.0.2"); err != nil {
			t.Errorf("a name that is behind says that the server is dead: %v", err)
		}
		c.lead("2")
		pass(500 * time.Millisecond)
		w.expect(t, "epoch 2: 10.0.0.2 writer up")
	})
}

func TestDNSDemoted(t *testing.T) {
	c, cfg := named()
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		c.do("1", func(s *server) { s.readOnly = true })
		w.Suspect("10.0.0.1", w.Snapshot().Epoch, ReasonReadOnly)
		w.expect(t, "epoch 2: 10.0.0.1 reader up")
		c.do("2", func(s *server) { s.readOnly = false })
		pass(10 * time.Second)
		w.expect(t, "epoch 2: 10.0.0.1 reader up")
		c.lead("2")
		pass(500 * time.Millisecond)
		if in := w.Snapshot().Writer(); in == nil || in.ID != "10.0.0.2" || len(w.Snapshot().Instances) != 1 {
			t.Error(w.Snapshot())
		}
	})
}

// TestDNSWithoutAddresses: behind a dialer that does not tell where it leads, servers are
// known by their own names, on Aurora by those of instances.
func TestDNSWithoutAddresses(t *testing.T) {
	for name, id := range map[string]string{"": "ip-%s:3306", " on Aurora": "instance-%s"} {
		t.Run("servers"+name, func(t *testing.T) {
			c, cfg := named()
			for _, s := range []string{"1", "2"} {
				c.server(s).nowhere, c.server(s).named = true, name != ""
			}
			bubble(t, c, cfg, func(t *testing.T, w *watched) {
				w.discover(t)
				w.expect(t, "epoch 1: "+fmt.Sprintf(id, "1")+" writer up")
				c.do("2", func(s *server) { s.readOnly = false })
				c.lead("2")
				pass(6 * time.Second)
				w.expect(t, "epoch 2: "+fmt.Sprintf(id, "2")+" writer up")
			})
		})
	}
}

func TestDNSRefuses(t *testing.T) {
	dial := func(context.Context, string) (Conn, error) { return nil, errRefused }
	if _, err := NewMonitor(Config{Provider: dnsName, Seeds: []string{"a:1", "b:1"}, Dial: dial}); err == nil || !strings.Contains(err.Error(), "want one host") {
		t.Error(err)
	}
}

// TestDNSResolverIsAway: that a name does not resolve says nothing about the server that it led to.
func TestDNSResolverIsAway(t *testing.T) {
	c, cfg := named()
	away := func(on bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deaf = on
	}
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		away(true)
		pass(time.Minute)
		w.expect(t, "epoch 1: 10.0.0.1 writer up")
		w.Suspect("10.0.0.1", 1, ReasonConnectionLost)
		pass(time.Second)
		w.expect(t, "epoch 1: 10.0.0.1 writer suspect")
		away(false)
		pass(500 * time.Millisecond)
		w.expect(t, "epoch 1: 10.0.0.1 writer up")
	})
}

// TestDNSSeveralAddresses: the name has an address of each family, and a dialer takes the other one
// when the first is late. It is one server all the same, until it is another one's name.
func TestDNSSeveralAddresses(t *testing.T) {
	c, cfg := named()
	bubble(t, c, cfg, func(t *testing.T, w *watched) {
		w.discover(t)
		for _, other := range []address{"[2001:db8::1]:3306", "", "[2001:db8::1]:3306", "10.0.0.9:3306", ""} {
			c.do("1", func(s *server) { s.address = other })
			conn, err := c.dial(t.Context(), endpoint)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := w.Verify(ctx, conn, "10.0.0.1", Writer); err != nil {
				t.Errorf("%s: %v", other, err)
			}
			cancel()
			conn.Close()
			w.Suspect("10.0.0.1", 1, ReasonConnect)
			pass(time.Second)
			w.expect(t, "epoch 1: 10.0.0.1 writer up")
			pass(11 * time.Second)
			w.expect(t, "epoch 1: 10.0.0.1 writer up")
		}
		c.do("1", func(s *server) { s.address = "[2001:db8::1]:3306" })
		c.do("2", func(s *server) { s.readOnly, s.address = false, "[2001:db8::2]:3306" })
		c.lead("2")
		pass(6 * time.Second)
		w.expect(t, "epoch 2: [2001:db8::2]:3306 writer up")
		c.lead("1")
		pass(20 * time.Second)
		w.expect(t, "epoch 2: [2001:db8::2]:3306 writer up")
	})
}
