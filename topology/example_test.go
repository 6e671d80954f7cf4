package topology_test

import (
	"fmt"

	"github.com/failoverproxy/failoverproxy/topology"
)

func Example() {
	// Snapshots come from a Monitor, by Connector.Snapshot; nil is one of nothing.
	var snapshot *topology.Snapshot
	if w := snapshot.Writer(); w == nil {
		fmt.Println("no writer:", snapshot)
	}
	fmt.Println(topology.Event{Kind: topology.InstanceSuspected, Instance: "instance-1", Reason: topology.ReasonSilence})
	// Output:
	// no writer: no snapshot
	// instance suspected: instance-1 (silent)
}
