package topology

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// Conn is a connection of the wrapped driver to one instance. If it has a method
// Cut(), that is called before Close where the instance may not be there any more, or
// while Close runs and takes too long, so that Close need not wait for a dead peer. If it
// has a method RemoteAddr() net.Addr, fpTopology=dns knows servers by what that returns.
type Conn interface {
	QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error)
	Close() error
}

// Provider knows how one kind of cluster is asked. Its methods may be called
// concurrently.
type Provider interface {
	// Name is the provider's name in fpTopology.
	Name() string
	// Members are the instances known before any was asked, nil if none are. Writer is
	// set of those that may be it.
	Members() []Member
	// Probe asks the instance at addr, over conn, who it is and what it sees.
	Probe(ctx context.Context, conn Conn, addr string) (Report, error)
	// Identify asks the same for its id and role alone. An empty id means that the
	// provider cannot tell; where it can tell the role all the same, that is not Unknown.
	Identify(ctx context.Context, conn Conn, addr string) (id string, role Role, err error)
}

// Report is what an instance says of itself and of the cluster.
type Report struct {
	ID       string   // who answered
	Addr     string   // its own address; "" is the one at which it was asked
	Role     Role     // what it claims to be; Unknown if it cannot tell
	ReadOnly bool     // it calls itself read-only
	Spare    bool     // it claims to be the writer, as others may at the same time: one of them is enough
	Members  []Member // whom it sees, itself among them; nil if it has no view
	// Proof is the cluster's own time at which it was noted as the writer, in the
	// view of its own; zero if it is not noted so or there is no such time.
	Proof time.Time
	// Ignored counts rows of the view that cannot be an instance's.
	Ignored int
	// Lineage is its place in a replication; nil in clusters that have a view.
	Lineage *Lineage
	// Lag is how far it is behind, in a cluster without a view; only if LagKnown.
	Lag      time.Duration
	LagKnown bool
	// Partial is why the report lacks something that it should have; nil if it does not.
	Partial error
}

// Member is an instance as another one sees it.
type Member struct {
	ID, Addr string
	Writer   bool      // seen as the writer; a hint whom to ask. One at most in a view
	Updated  time.Time // the cluster's own time of the row; zero if it has none
	Live     bool      // what the row says is of the moment of the question, however old its time
	Lag      time.Duration
	LagKnown bool
	CPU      float64 // percent
}

// Problem is what a probe's error means, as far as this package must know.
type Problem uint8

// answer reports whether it is a server's answer.
func (p Problem) answer() bool {
	return p != ProblemOther && p != ProblemLocal && p != ProblemNoCredentials
}

// The problems. Any but ProblemOther, ProblemLocal and ProblemNoCredentials is a server's
// answer: whoever gives it is alive.
const (
	ProblemOther         Problem = iota // no answer, or none that a healthy server gives
	ProblemNoView                       // the table or view that was asked for does not exist
	ProblemDenied                       // the user may not read it
	ProblemCredentials                  // user, password, database or the way to log in are refused
	ProblemBusy                         // too many connections, for the server or the user
	ProblemLocal                        // the server was never asked: its name did not resolve, this process has no sockets left
	ProblemNoCredentials                // the server was never asked: nobody gave a password for it
)

// ErrIdentity: a connection led to another instance than it should have, or to one
// in another role.
var ErrIdentity = errors.New("address leads to another instance")

// errUnfit: the server is not in a cluster of the kind that the provider asks.
var errUnfit = errors.New("this is no such cluster")

// validID reports whether id can be an instance's identifier: letters, digits and
// hyphens, at most 63, which is also what a host name's label may be (RFC 1123).
// Anything else is never dialled, nor written anywhere.
func validID(id string) bool {
	if id == "" || len(id) > 63 || id[0] == '-' || id[len(id)-1] == '-' {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// shownID is an id as it may be written into an error.
func shownID(id string) string {
	if !validID(id) {
		return fmt.Sprintf("an impossible id of %d bytes", len(id))
	}
	return id
}
