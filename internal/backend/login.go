package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-sql-driver/mysql"
)

// Login is with what a connection is made: a user and a password. It is not changed. Printing
// it shows the user alone.
type Login struct {
	// User is the user's name.
	User string
	// Clear lets the server have the password as it is, if it asks for that. Without TLS no
	// connection is made then.
	Clear bool

	password func() string // not a string, which printing by reflection would find
}

// NewLogin makes a Login.
func NewLogin(user, password string, inClear bool) *Login {
	return &Login{User: user, Clear: inClear, password: func() string { return password }}
}

// Password returns the password.
func (l *Login) Password() string { return l.password() }

// Same reports whether both have the same user and password.
func (l *Login) Same(other *Login) bool {
	return l == other || l != nil && other != nil && l.User == other.User && l.password() == other.password()
}

// Format prints the user, with every verb.
func (l *Login) Format(f fmt.State, _ rune) {
	text := "no login"
	if l != nil {
		text = "login of " + strconv.Quote(l.User)
	}
	_, _ = io.WriteString(f, text) // fmt.State keeps its own errors
}

// ErrNotAsked is in the chain of errors of [Config.Login] that came before the server was
// tried: they say nothing about it.
var ErrNotAsked = errors.New("the server was not asked")

// Debt is told, by the goroutine that connects, whether the server owes it an answer.
type Debt interface {
	Waits()    // no: something else is waited for, as long as Asks does not say otherwise
	Asks()     // it does
	Answered() // it has answered, and is about to be asked anew
}

type debtKey struct{}

// WithDebt has a connect tell of it.
func WithDebt(ctx context.Context, d Debt) context.Context {
	return context.WithValue(ctx, debtKey{}, d)
}

// DebtOf is what the context of a connect has, or what takes no notice.
func DebtOf(ctx context.Context) Debt {
	if d, ok := ctx.Value(debtKey{}).(Debt); ok {
		return d
	}
	return noDebt{}
}

type noDebt struct{}

func (noDebt) Waits()    {}
func (noDebt) Asks()     {}
func (noDebt) Answered() {}

// errClear says of a configuration what the driver has refused before.
var errClear = fmt.Errorf("failoverproxy: the password must not be sent in clear: %w", mysql.ErrNoTLS)

// loginTo gives cfg, which is for one connection, its user and password. Its TLS is set.
func (l *Login) loginTo(cfg *mysql.Config) error {
	cfg.User, cfg.Passwd = l.User, l.password()
	if !l.Clear {
		return nil
	}
	if cfg.TLS == nil || cfg.AllowFallbackToPlaintext {
		return errClear
	}
	cfg.AllowCleartextPasswords = true
	return nil
}

// Login is with what the backend was made; nil if the configuration's own user was.
func (b *Backend) Login() *Login { return b.login }

// ConnectAs is Connect for one user and password, whatever Config.Login would give.
func (d *Dialer) ConnectAs(ctx context.Context, addr string, l *Login) (*Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	return d.connect(ctx, addr, l)
}
