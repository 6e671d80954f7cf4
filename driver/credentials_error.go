package driver

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/failoverproxy/failoverproxy/failover"
	"github.com/failoverproxy/failoverproxy/internal/backend"
)

// credentialsError says why there is no login for an address. It never shows a password that
// the provider has given.
type credentialsError struct {
	addr, problem string
	cause         error // the provider's; nil if it has a password in its text
}

func (e *credentialsError) Error() string {
	return "failoverproxy: no credentials for " + e.addr + ": " + e.problem
}

// Format prints Error with every verb: others would print what the provider's error is made of.
func (e *credentialsError) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, e.Error()) // fmt.State keeps its own errors
}

func (e *credentialsError) Unwrap() []error {
	all := []error{failover.ErrCredentials, backend.ErrNotAsked}
	if e.cause != nil {
		all = append(all, e.cause)
	}
	return all
}

// failed makes the error of a call. secrets are passwords that it may show, beside those known.
func (c *credentials) failed(addr, problem string, cause error, secrets ...string) *credentialsError {
	c.mu.Lock()
	for _, a := range c.accounts {
		for _, g := range []*grant{a.last, a.proven} {
			if g != nil {
				secrets = append(secrets, g.Password())
			}
		}
	}
	c.mu.Unlock()
	e := &credentialsError{addr: addr, problem: censored(problem, secrets), cause: cause}
	switch {
	case cause == nil:
	case censored(cause.Error(), secrets) != cause.Error(), errors.Is(cause, driver.ErrBadConn): // which has database/sql run the statement again
		e.cause = nil
	}
	return e
}

// censored takes secrets out of a text. Those of less than four letters are in every text.
func censored(text string, secrets []string) string {
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // one may contain another
	for _, secret := range secrets {
		if len(secret) >= 4 || text == secret && secret != "" {
			text = strings.ReplaceAll(text, secret, "xxxxx")
		}
	}
	return text
}
