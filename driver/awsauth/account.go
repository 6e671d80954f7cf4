package awsauth

import (
	"context"
	"errors"
	"regexp"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// account is the configuration of the AWS SDK that a provider works with: the program's,
// or the default one, which is read at the first use and not before. So a program that
// only makes a provider, as those do that run in Lambda's init phase, reads no file.
type account struct {
	loaded atomic.Pointer[aws.Config]
	turn   chan struct{} // whoever loads holds it
}

func newAccount(given *aws.Config) *account {
	a := &account{turn: make(chan struct{}, 1)}
	if given != nil {
		c := given.Copy()
		a.loaded.Store(&c)
	}
	return a
}

// config is the configuration. A failure is not kept: the next call tries again.
func (a *account) config(ctx context.Context) (*aws.Config, error) {
	if c := a.loaded.Load(); c != nil {
		return withCredentials(c)
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := a.loaded.Load(); c != nil {
		return withCredentials(c)
	}
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	a.loaded.Store(&c)
	return withCredentials(&c)
}

func withCredentials(c *aws.Config) (*aws.Config, error) {
	if c.Credentials == nil {
		return nil, errors.New("the aws.Config has no Credentials")
	}
	return c, nil
}

// forget makes the SDK ask for new credentials where it keeps some, and tells whether it
// does.
func forget(c *aws.Config) bool {
	cache, ok := c.Credentials.(interface{ Invalidate() })
	if ok {
		cache.Invalidate()
	}
	return ok
}

// regionForm is what all regions' names look like. That of an availability zone ends with
// a letter.
var regionForm = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
