package mysqld

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Group is a MySQL group replication, of real servers. It heals itself, as groups do, and those that
// were lost come back by [Group.Rejoin] only. Its methods are not safe for concurrent use.
type Group struct {
	Servers []*Server // the first one begins the group, and is its first primary

	// ExpelAfter is how long after it has fallen silent a member is expelled, at least.
	ExpelAfter time.Duration
}

const groupUUID = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

// StartGroup starts a group for the test, which ends with it; with multi, one of several primaries.
// Without the server on the machine the test is skipped; with CI=true it fails.
func StartGroup(tb testing.TB, members int, multi bool) *Group {
	tb.Helper()
	g := &Group{Servers: make([]*Server, members), ExpelAfter: 5 * time.Second}
	_, err := locate(FlavorMySQL)
	require(tb, err)
	addresses := make([]string, members)
	for i := range addresses {
		port, err := freePort()
		require(tb, err)
		addresses[i] = fmt.Sprintf("%s:%d", localhost, port)
	}
	errs := make([]error, members)
	var starting sync.WaitGroup
	for i := range g.Servers {
		starting.Go(func() { g.Servers[i], errs[i] = Start(tb.Context(), FlavorMySQL, groupOptions(addresses, i, multi)) })
	}
	starting.Wait()
	tb.Cleanup(func() {
		for _, s := range g.Servers {
			if s == nil {
				continue
			}
			if tb.Failed() {
				tb.Logf("the log of %s on port %d ends with\n%s", s.Flavor, s.Port, s.Log())
			}
			// A member that waits for its group does not shut down.
			if err := errors.Join(s.Kill(), s.Close()); err != nil {
				tb.Errorf("%v", err)
			}
		}
	})
	require(tb, errors.Join(errs...))
	for i, s := range g.Servers {
		// What each did to become a server is not the group's.
		require(tb, s.Exec(tb.Context(), "RESET BINARY LOGS AND GTIDS"))
		require(tb, g.join(tb.Context(), s, i == 0))
	}
	return g
}

func groupOptions(addresses []string, i int, multi bool) Options {
	single, checks := "ON", "OFF"
	if multi {
		single, checks = checks, single
	}
	o := Options{BinaryLog: true, PerformanceSchema: true, BufferPoolMiB: 16, Args: []string{
		"--binlog-format=ROW", "--relay-log=relay", "--relay-log-recovery=ON", "--sync-binlog=0", "--gtid-mode=ON",
		"--enforce-gtid-consistency=ON", "--log-replica-updates=ON", "--report-host=" + localhost,
		"--general-log=ON", "--general-log-file=" + queryLogName, "--log-output=FILE",
		"--plugin-load-add=group_replication.so",
	}}
	for name, value := range map[string]string{
		"group_name": groupUUID, "start_on_boot": "OFF", "local_address": addresses[i], "group_seeds": strings.Join(addresses, ","),
		"single_primary_mode": single, "enforce_update_everywhere_checks": checks, "recovery_get_public_key": "ON",
		"member_expel_timeout": "0", "autorejoin_tries": "0", "exit_state_action": "READ_ONLY", "recovery_reconnect_interval": "1",
	} {
		o.Args = append(o.Args, "--loose-group_replication_"+name+"="+value)
	}
	return o
}

// join lets a server join the group, or begin it, and waits until it is ONLINE.
func (g *Group) join(ctx context.Context, s *Server, begin bool) error {
	statements := []string{
		"CHANGE REPLICATION SOURCE TO SOURCE_USER='" + s.User + "', SOURCE_PASSWORD='" + s.Password + "' FOR CHANNEL 'group_replication_recovery'",
		"SET GLOBAL group_replication_bootstrap_group=ON", "START GROUP_REPLICATION", "SET GLOBAL group_replication_bootstrap_group=OFF",
	}
	if !begin {
		statements = []string{statements[0], statements[2]}
	}
	if err := s.Exec(ctx, statements...); err != nil {
		return err
	}
	return g.Until(ctx, s, s, "ONLINE")
}

// State is the state of a member as a server sees it, "" if it does not.
func (g *Group) State(ctx context.Context, in, member *Server) (string, error) {
	return in.one(ctx, fmt.Sprintf("SELECT MEMBER_STATE FROM performance_schema.replication_group_members WHERE MEMBER_PORT = %d", member.Port))
}

// Until waits until a server sees a member in a state; "" is not at all.
func (g *Group) Until(ctx context.Context, in, member *Server, want string) error {
	for {
		got, err := g.State(ctx, in, member)
		if err == nil && got == want {
			return nil
		}
		if late := rest(ctx); late != nil {
			return fmt.Errorf("mysqld: port %d sees port %d %s, want %s: %w", in.Port, member.Port, got, want, errors.Join(late, err))
		}
	}
}

// rest is a pause between two looks.
func rest(ctx context.Context) error {
	pause := time.NewTimer(10 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
		return nil
	}
}

// Primary is the group's primary as a server sees it, nil if it does not; in a group of several, one of them.
func (g *Group) Primary(ctx context.Context, in *Server) (*Server, error) {
	port, err := in.one(ctx, "SELECT MEMBER_PORT FROM performance_schema.replication_group_members WHERE MEMBER_ROLE = 'PRIMARY' AND MEMBER_STATE = 'ONLINE'")
	for _, s := range g.Servers {
		if fmt.Sprint(s.Port) == port {
			return s, err
		}
	}
	return nil, err
}

// Rejoin starts a server again that was killed, or was expelled, and lets it join the group, as soon
// as the group has forgotten that it was there: a member that comes earlier waits for ever.
func (g *Group) Rejoin(ctx context.Context, s *Server) error {
	for _, other := range g.Servers {
		if other == s || !other.Running() {
			continue
		}
		if err := g.Until(ctx, other, s, ""); err != nil {
			return err
		}
	}
	if s.Running() {
		if err := s.Exec(ctx, "STOP GROUP_REPLICATION"); err != nil {
			return err
		}
	} else if err := s.Restart(); err != nil {
		return err
	}
	return g.join(ctx, s, false)
}

// Freeze stops a member's process where it is, as a machine does that is swapped out, and Thaw lets
// it go on. A member that is frozen for longer than ExpelAfter is expelled, and learns that when
// it goes on.
func (g *Group) Freeze(ctx context.Context, s *Server) error { return s.send(ctx, "STOP") }

// Thaw ends what Freeze began.
func (g *Group) Thaw(ctx context.Context, s *Server) error { return s.send(ctx, "CONT") }

// send sends a signal that not every system has.
func (s *Server) send(ctx context.Context, name string) error {
	if !s.Running() {
		return fmt.Errorf("mysqld: port %d does not run", s.Port)
	}
	return exec.CommandContext(ctx, "kill", "-"+name, strconv.Itoa(s.process.Load().cmd.Process.Pid)).Run()
}

// Force makes a member that has lost its quorum a group of its own, as an operator does who knows that
// the others are dead.
func (g *Group) Force(ctx context.Context, s *Server) error {
	local, err := s.one(ctx, "SELECT @@global.group_replication_local_address")
	if err != nil {
		return err
	}
	if err := s.Exec(ctx, "SET GLOBAL group_replication_force_members='"+local+"'"); err != nil {
		return err
	}
	const busy = 3724 // the plugin is at work on it still
	for {
		err := s.Exec(ctx, "SET GLOBAL group_replication_force_members=''")
		if my, ok := errors.AsType[*mysql.MySQLError](err); !ok || my.Number != busy {
			return err
		}
		if late := rest(ctx); late != nil {
			return errors.Join(late, err)
		}
	}
}
