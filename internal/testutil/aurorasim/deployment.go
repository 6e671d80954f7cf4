package aurorasim

// Deployment is what the simulated instances are to each other.
type Deployment int

const (
	// Aurora is an Aurora MySQL cluster.
	Aurora Deployment = iota
	// MultiAZInstance is an RDS DB instance with a standby: the cluster's endpoint is the
	// instance's one name, and nobody who knows no more than that name reaches the standby
	// before it was promoted and the name leads there (Failover.DNSAfter). Two instances are
	// enough.
	MultiAZInstance
)

// rdsVariables are the variables, in lower case, that servers of RDS have each for
// themselves, sorted as SHOW VARIABLES sorts.
func (v variables) rds() [][2]string {
	onOff := "OFF"
	if v.readOnly {
		onOff = "ON"
	}
	return [][2]string{
		{"datadir", "/rdsdbdata/db/"}, {"hostname", v.hostname}, {"read_only", onOff}, {"super_read_only", onOff},
	}
}
