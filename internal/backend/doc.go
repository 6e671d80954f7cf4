// Package backend is one physical connection to one instance.
//
// A [Dialer] makes [Backend]s with the wrapped driver, go-sql-driver/mysql. It
// puts a net.Conn of its own under each, which sees what the wrapped driver does
// not tell: whether a statement's bytes left the process, whether any byte of an
// answer came, how long the peer has been silent; and through which a connection
// can be cut from another goroutine.
//
// The server's status flags (is a transaction open?) are read from the wrapped
// driver's unexported status field by reflection, see [Backend.Status].
//
// A backend also keeps the statements prepared on it, see [Backend.Prepared].
package backend
