package failover

import (
	"crypto/tls"
	"errors"
	"net"

	"github.com/go-sql-driver/mysql"
)

// Transient reports whether to wait may help against the reason for which a cluster could
// not be found in the first place: a refused or broken connection, a timeout, a resolver
// that does not answer, a server without room or on its way out, as in the middle of a
// failover. It does not help against wrong credentials, an unknown database, TLS that
// does not verify, or a configuration that does not fit; nor, most likely, against a name
// that does not exist: that is a typing error, and to wait for it would hide it.
//
// An error with several causes is about as many hosts: to wait for one of them is enough,
// unless another one has answered with what waiting does not change.
func Transient(err error) bool { return trouble(err) == passes }

// prospect is what may become of an error.
type prospect uint8

const (
	stays  prospect = iota // nothing will
	absent                 // the name does not exist
	passes
)

func trouble(err error) prospect {
	if several, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		all := absent
		for _, cause := range several.Unwrap() {
			switch trouble(cause) {
			case stays:
				return stays
			case passes:
				all = passes
			case absent:
			}
		}
		return all
	}
	if errors.Is(err, ErrCredentials) {
		return stays // the provider knows what is worth another try
	}
	if me, ok := errors.AsType[*mysql.MySQLError](err); ok {
		if class, _ := (Situation{}).answered(me.Number); class == ClassStatement {
			return stays
		}
		return passes
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return absent
	}
	if own(err) || untrusted(err) || !lost(err) {
		return stays
	}
	return passes
}

// Local reports whether a connection could not be tried for a reason on this side of the
// network: the name did not resolve, the process or its host has no sockets, ports or
// memory left. That says nothing about the server, to which others may be connected.
func Local(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	return exhausted(err)
}

// Untrusted reports whether a server could not show that it is the one that was meant: it
// has no TLS, or no certificate for its name by somebody who is trusted.
func Untrusted(err error) bool {
	_, refused := errors.AsType[*tls.CertificateVerificationError](err)
	return refused || errors.Is(err, mysql.ErrNoTLS)
}

// untrusted reports whether two sides could not agree on TLS.
func untrusted(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	// What the other side complains of; its type is not exported.
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}
