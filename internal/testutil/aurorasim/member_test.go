package aurorasim

import (
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	eachUpstream(t, func(t *testing.T, up *backend) {
		r := up.start(t, Config{Instances: 2})
		view := func(addr string) string {
			return show(t, r.open(addr), "SELECT SERVER_ID, SESSION_ID = 'MASTER_SESSION_ID' FROM information_schema.replica_host_status ORDER BY SERVER_ID")
		}
		added, err := r.Add("new")
		if err != nil {
			t.Fatal(err)
		}
		if got := view(added.Endpoint()); !strings.Contains(got, "new") || !strings.Contains(got, "instance-2") {
			t.Errorf("after Add the new one sees %s", got)
		}
		conn := r.conn(r.Instance("instance-2").Endpoint())
		if err := r.Remove(t.Context(), "instance-2"); err != nil {
			t.Fatal(err)
		}
		if conn.PingContext(t.Context()) == nil {
			t.Error("a connection outlived its instance")
		}
		if got := view(r.Endpoint()); strings.Contains(got, "instance-2") {
			t.Errorf("after Remove the writer sees %s", got)
		}
		if _, err := r.Resolve(t.Context(), "instance-2."+r.cfg.Domain); err == nil {
			t.Error("the name of what was removed still exists")
		}
		before, _ := r.Resolve(t.Context(), r.clusterHost("cluster-"))
		if err := r.Rename(t.Context(), "instance-1", "renamed"); err != nil {
			t.Fatal(err)
		}
		if w := r.Writer(); w == nil || w.ID != "renamed" {
			t.Errorf("%v is the writer", w)
		}
		if after, _ := r.Resolve(t.Context(), r.clusterHost("cluster-")); len(after) != 1 || after[0] == before[0] {
			t.Errorf("the endpoint leads to %v, before to %v", after, before)
		}
		if err := r.Restore(t.Context(), "x", "y"); err != nil {
			t.Fatal(err)
		}
		if got := view(r.Endpoint()); strings.Contains(got, "renamed") || !strings.Contains(got, "x") || r.Writer().ID != "x" {
			t.Errorf("after Restore the writer sees %s", got)
		}
		for _, err := range []error{
			r.Remove(t.Context(), "nobody"), r.Rename(t.Context(), "x", "y"), r.Restore(t.Context()),
		} {
			if err == nil {
				t.Error("no error")
			}
		}
	})
}
