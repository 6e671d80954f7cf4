package program

import "context"

// Shrink makes a program that fails smaller: it leaves out sessions, then ever shorter
// runs of steps, and keeps every program that goes on to fail. What it tries is valid:
// groups stay whole, and no more sessions hold something than may.
//
// fails is called for programs other than p only. Shrink ends when ctx does, with what it
// has found by then.
func Shrink(ctx context.Context, p Program, fails func(Program) bool) Program {
	try := func(candidate Program) bool {
		if len(candidate.Steps) == len(p.Steps) || !candidate.valid() || !fails(candidate) {
			return false
		}
		p = candidate
		return true
	}
	for again := true; again && ctx.Err() == nil; {
		again = false
		for session := range 16 {
			again = try(p.without(func(i int) bool { return p.Steps[i].Session == session })) || again
		}
		for size := max(len(p.Steps)/2, 1); ; size /= 2 {
			// From the end: what came last depends on what came before.
			for from := len(p.Steps) - size; from > -size && ctx.Err() == nil; from -= size {
				again = try(p.without(func(i int) bool { return i >= from && i < from+size })) || again
			}
			if size == 1 {
				break
			}
		}
	}
	return p
}

// without is the program without the steps that are left out, and without the rest of
// their groups.
func (p Program) without(out func(i int) bool) Program {
	torn := make(map[int]bool)
	for i, s := range p.Steps {
		if s.Group != 0 && out(i) {
			torn[s.Group] = true
		}
	}
	var left []Step
	for i, s := range p.Steps {
		if !out(i) && !torn[s.Group] {
			left = append(left, s)
		}
	}
	p.Steps = left
	return p
}
