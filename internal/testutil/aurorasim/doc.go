// Package aurorasim simulates an Amazon Aurora MySQL cluster: N instances in
// front of ONE upstream server, which is what instances on a shared volume look
// like to a client. The upstream is a real MySQL or MariaDB ([Server]) or the fake
// ([Fake]); every instance relays the MySQL protocol to it packet by packet,
// answers what Aurora would answer differently, and fails on command.
//
//	sim, err := aurorasim.Start(ctx, aurorasim.Config{Upstream: aurorasim.Fake()})
//	defer sim.Close()
//	mysqlConfig.DialFunc = sim.DialContext   // knows the names of the cluster
//	mysqlConfig.Addr = sim.Endpoint()        // sim.cluster-abc123.us-east-1.rds.amazonaws.com:3306
//	err = sim.Failover(ctx, aurorasim.Failover{Kind: aurorasim.Kill})
//
// # What an instance answers itself
//
// information_schema.replica_host_status, @@aurora_server_id, @@aurora_version,
// aurora_version(), @@innodb_read_only and the rows of SHOW VARIABLES with these
// names: as derived tables and literals put into the statement that a real
// upstream then evaluates, or, over the fake, by a small evaluator. A reader
// refuses writes, SELECT … FOR UPDATE included, with error 1290 and does not relay
// them. With [Config.Plain] nothing is answered or refused by the relay. KILL
// reaches only threads of the same instance, as each is a server of its own.
//
// # Fencing
//
// Aurora's storage takes writes of one instance only. Here: [Cluster.Failover]
// closes the old writer's path to the upstream, waits for the command that may be
// half written, KILLs the old writer's upstream threads and waits until the
// upstream says that they are gone, rolled back. Only then the next writer takes
// writes, and that moment is [Cluster.PromotedAt]. From it on nothing that a client
// sent through the old writer can change the upstream; everything that did happened
// before it. While a frozen writer's path is closed from the start of the script,
// statements that had reached the upstream before go on until promotion.
//
// As a second line of defence, a real upstream's sessions behind a reader are READ
// ONLY sessions: so what the text of a statement does not show (a stored function
// that writes) is refused too, and the server's 1792 is sent on as 1290.
//
// # Faults
//
// Every fault of an [Instance] is a method: the permanent ones (Refuse, BlackHole,
// AcceptSilent, Freeze, Delay, …) return a [Fault] that Clear ends; those for one
// statement (CutAfter, SwallowAnswer, ErrorThenClose, …) hit the next one that
// their [Match] takes.
//
// # Members that come and go
//
// [Cluster.Add], [Cluster.Remove] and [Cluster.Rename] change the list of instances;
// [Cluster.Restore] replaces all of them behind the same endpoints.
//
// # What was relayed
//
// Every statement is logged as a [Relay]: which instance took it, whether it
// reached the upstream, whether its answer went back. [Cluster.Seen] and
// [Cluster.Count] answer the question that matters: did this run twice?
//
// # Where it differs from Aurora
//
// Data is never stale on a reader, whatever the lag that it reports: there is one
// upstream. SET GLOBAL, server UUIDs, host names and SHOW PROCESSLIST are the
// upstream's. Readers' sessions show @@transaction_read_only = 1, and a stored routine
// that makes its own session READ WRITE could write there. Statements are recognised as
// writes by their words; a text of several is refused as a whole if one of them writes.
//
// All methods may be called from any goroutine. In a synctest bubble use
// [Memory] and [Fake].
package aurorasim
