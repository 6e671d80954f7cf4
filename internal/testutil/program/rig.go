package program

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Rig compares two drivers on one server.
type Rig struct {
	Admin *sql.DB // makes and removes databases; in none of them
	Want  Target  // believed: one connection for each session
	Got   Target  // tried
}

// Compare runs a program over both, one after the other, with databases that are new
// each time, and returns the first difference, nil if there is none. An error means that
// they could not be compared.
func (r Rig) Compare(ctx context.Context, p Program) (*Difference, error) {
	if !p.valid() {
		return nil, fmt.Errorf("program: sessions hold more than %d at a time", p.held)
	}
	want, err := r.run(ctx, r.Want, p, nil)
	if err != nil {
		return nil, err
	}
	if n := len(want); n < len(p.Steps) {
		return nil, fmt.Errorf("program: step %d, %s, takes too long, and that is no driver's fault: %s", n-1, p.Steps[n-1], want[n-1])
	}
	got, err := r.run(ctx, r.Got, p, want)
	if err != nil {
		return nil, err
	}
	return p.Compare(want, got), nil
}

func (r Rig) run(ctx context.Context, t Target, p Program, expected Transcript) (Transcript, error) {
	if err := p.setUp(ctx, r.Admin); err != nil {
		return nil, err
	}
	transcript, err := t.Run(ctx, p, expected)
	if err != nil {
		return nil, err
	}
	return transcript, p.tearDown(ctx, r.Admin)
}

// Shrink looks for a smaller program that is answered differently too, and in the same
// way (an error of the same number, say), for about as long as it may, and returns it with
// its difference. A driver that is wrong now and then
// only gives back what it was wrong with last.
func (r Rig) Shrink(ctx context.Context, p Program, d *Difference, may time.Duration) (Program, *Difference) {
	class := d.class()
	limited, cancel := context.WithTimeout(ctx, may)
	defer cancel()
	p.Steps = p.Steps[:min(len(p.Steps), d.Step+1)]
	small := Shrink(limited, p, func(candidate Program) bool {
		found, err := r.Compare(limited, candidate)
		if err != nil || found == nil || found.class() != class {
			return false
		}
		d = found
		return true
	})
	return small, d
}
