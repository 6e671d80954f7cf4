package topology

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// discovery is what the first seed to answer said.
type discovery struct {
	seed   string
	ticket uint64
	began  time.Time
	link   *link  // nil if somebody has adopted it
	remote string // where it leads, "" if nobody knows
	choice choice

	// Of the first look for a blue/green deployment, see lookout.go.
	lookout *lookout  // nil = none
	looked  bool      // the question was answered
	sight   *sighting // by this; nil = with nothing of use
}

func (d discovery) observation() observation {
	return observation{kind: answered, addr: d.seed, ticket: d.ticket, at: d.began, report: d.choice.report}
}

// stagger is the head start that a seed has over the next one in the DSN.
const stagger = 250 * time.Millisecond

// discoverTimeouts is how many probes' time a seed has for its first answer: at a
// program's start there is more to do than in a probe (a cold resolver, a new network
// interface) and less reason to hurry.
const discoverTimeouts = 10

// discover asks the seeds, each a little after the one before it or as soon as that
// has failed, and takes the first that answers. ctx ends nothing; the monitor does.
func (m *Monitor) discover(ctx context.Context) (discovery, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(m.ctx, cancel)()
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()

	answers := make(chan answer)
	failed := make(chan struct{}, len(m.cfg.Seeds))
	asking.Go(func() {
		for i, seed := range m.cfg.Seeds {
			if i > 0 && !waitFor(ctx, stagger, failed) {
				return
			}
			asking.Go(func() { m.askSeed(ctx, i, seed, answers, failed) })
		}
	})
	causes := make([]error, len(m.cfg.Seeds))
	for range m.cfg.Seeds {
		select {
		case a := <-answers:
			if a.err == nil {
				return a.discovery, nil
			}
			causes[a.index] = a.err
		case <-ctx.Done():
			return discovery{}, errClosed
		}
	}
	if refused, ok := errors.AsType[*dialError](causes[0]); ok && len(causes) == 1 {
		return discovery{}, refused.cause // as the wrapped driver returns it
	}
	return discovery{}, &discoverError{causes: causes}
}

// dialError says that there is no connection to a seed.
type dialError struct {
	seed  string
	cause error
}

func (e *dialError) Error() string { return "cannot connect to " + e.seed + ": " + e.cause.Error() }
func (e *dialError) Unwrap() error { return e.cause }

// answer is a seed's.
type answer struct {
	discovery
	index int
	err   error
}

func (m *Monitor) askSeed(ctx context.Context, index int, seed string, answers chan<- answer, failed chan<- struct{}) {
	d, err := m.interview(ctx, seed)
	if err != nil {
		failed <- struct{}{}
	}
	select {
	case answers <- answer{discovery: d, index: index, err: err}:
	case <-ctx.Done(): // another was faster
		d.link.close()
		d.lookout.drop(m)
	}
}

// interview lets a seed say what kind of cluster it belongs to and what it sees.
func (m *Monitor) interview(ctx context.Context, seed string) (discovery, error) {
	ctx, cancel := context.WithTimeout(ctx, discoverTimeouts*m.cfg.Timeout)
	defer cancel()
	d := discovery{seed: seed, ticket: m.tickets.Add(1), began: time.Now(), lookout: m.lookOut(ctx, seed)}
	var err error
	if d.link, err = m.dial(ctx, seed); err != nil {
		d.lookout.drop(m)
		if ctx.Err() == nil {
			return discovery{}, &dialError{seed, err}
		}
		return discovery{}, fmt.Errorf("cannot connect to %s: %w", seed, m.timedOut(ctx, err))
	}
	if d.choice, err = choose(ctx, m.cfg, d.link, seed); err != nil {
		d.link.abandon()
		d.lookout.drop(m)
		return discovery{}, fmt.Errorf("cannot learn about the cluster from %s: %w", seed, m.timedOut(ctx, err))
	}
	return d, nil
}

// timedOut names the limit that an error is about.
func (m *Monitor) timedOut(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", discoverTimeouts*m.cfg.Timeout, err)
	}
	return err
}

// discoverError says why no seed can be used.
type discoverError struct{ causes []error }

func (e *discoverError) Error() string {
	texts := make([]string, len(e.causes))
	for i, cause := range e.causes {
		texts[i] = strings.TrimPrefix(cause.Error(), "failoverproxy: ")
	}
	return "failoverproxy: " + strings.Join(texts, "; ")
}

func (e *discoverError) Unwrap() []error { return e.causes }

// waitFor waits for d, for the signal or for ctx; false means the last.
func waitFor(ctx context.Context, d time.Duration, signal <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-signal:
	case <-ctx.Done():
		return false
	}
	return true
}
