package pool

import (
	"math"
	"testing"
	"time"
)

const grid = 150

// odds are the chances of each candidate, as exact as a grid of dice is.
func odds(b Balance, table []Candidate, now time.Duration) []float64 {
	turns, seconds := uint64(1), grid
	if b.Strategy == RoundRobin {
		turns, seconds = 12, 1 // divisible by every number of candidates
	}
	chances := make([]float64, len(table))
	for turn := range turns {
		for i := range grid {
			for j := range seconds {
				dice := Dice{Turn: turn, First: (float64(i) + 0.5) / grid, Second: (float64(j) + 0.5) / grid}
				chances[b.Choose(table, int64(now), dice)]++
			}
		}
	}
	for i := range chances {
		chances[i] /= float64(int(turns) * grid * seconds)
	}
	return chances
}

func TestChoose(t *testing.T) {
	const (
		now   = time.Hour
		soon  = int64(now + 1)
		never = int64(now + 24*time.Hour) // as it looks when the clock was set back by a day
		ms    = time.Millisecond
		young = int64(now)
		half  = int64(now - Warmup/2)
	)
	one := Candidate{Weight: 1, Size: 10}
	busy := func(n int) Candidate { return Candidate{Weight: 1, Size: 10, Outstanding: n} }
	takes := func(d time.Duration) Candidate { return Candidate{Weight: 1, Size: 10, Latency: d} }
	far := func(d time.Duration, n int) Candidate {
		return Candidate{Weight: 1, Size: 10, RoundTrip: d, Outstanding: n}
	}
	since := func(at int64) Candidate { return Candidate{Weight: 1, Size: 10, Since: at} }
	weighs := func(w int) Candidate { return Candidate{Weight: w, Size: 10} }
	shunned := func(w int) Candidate { return Candidate{Weight: w, Size: 10, ShunnedUntil: soon} }
	window := Balance{Window: 2 * ms}

	for name, test := range map[string]struct {
		Balance
		table []Candidate
		want  []float64
	}{
		"the only one, however it is":          {window, []Candidate{{Outstanding: 9, Size: 1, ShunnedUntil: soon}}, []float64{1}},
		"equals":                               {Balance{}, []Candidate{one, one}, []float64{0.5, 0.5}},
		"the less loaded one of two draws":     {Balance{}, []Candidate{busy(3), busy(2)}, []float64{0.25, 0.75}},
		"load for the weight":                  {Balance{}, []Candidate{{Weight: 3, Outstanding: 5}, {Weight: 1, Outstanding: 2}}, []float64{15. / 16, 1. / 16}},
		"weight where nobody has a load":       {Balance{}, []Candidate{weighs(3), weighs(1)}, []float64{0.75, 0.25}},
		"a slow one":                           {Balance{}, []Candidate{takes(10 * ms), takes(ms), takes(ms)}, []float64{1. / 21, 10. / 21, 10. / 21}},
		"a very slow one gets something":       {Balance{}, []Candidate{takes(time.Hour), takes(ms)}, []float64{1. / 17, 16. / 17}},
		"one whose speed nobody knows":         {Balance{}, []Candidate{takes(0), takes(ms)}, []float64{0.5, 0.5}},
		"speed is no matter of other ways":     {Balance{Strategy: Weighted}, []Candidate{takes(10 * ms), takes(ms)}, []float64{0.5, 0.5}},
		"weighted":                             {Balance{Strategy: Weighted}, []Candidate{weighs(3), weighs(1)}, []float64{0.75, 0.25}},
		"weighted does not look at the load":   {Balance{Strategy: Weighted}, []Candidate{busy(9), busy(0)}, []float64{0.5, 0.5}},
		"random does not look at weights":      {Balance{Strategy: Random}, []Candidate{weighs(3), weighs(1)}, []float64{0.5, 0.5}},
		"but at none":                          {Balance{Strategy: Random}, []Candidate{weighs(0), weighs(1), weighs(1)}, []float64{0, 0.5, 0.5}},
		"in turn":                              {Balance{Strategy: RoundRobin}, []Candidate{weighs(3), weighs(0), weighs(1), one}, []float64{1. / 3, 0, 1. / 3, 1. / 3}},
		"in turn, one is new":                  {Balance{Strategy: RoundRobin}, []Candidate{since(young), one}, []float64{0.05, 0.95}},
		"no weight":                            {Balance{}, []Candidate{weighs(0), busy(9)}, []float64{0, 1}},
		"no weight, and the others are full":   {Balance{}, []Candidate{weighs(0), busy(10)}, []float64{0, 1}},
		"no weight at all":                     {Balance{Strategy: Weighted}, []Candidate{weighs(0), weighs(0)}, []float64{0.5, 0.5}},
		"no weight, and the other is shunned":  {Balance{}, []Candidate{weighs(0), shunned(1)}, []float64{0, 1}},
		"a shunned one":                        {Balance{}, []Candidate{shunned(1), busy(9)}, []float64{0, 1}},
		"all are shunned":                      {Balance{}, []Candidate{shunned(1), shunned(1)}, []float64{0.5, 0.5}},
		"shunned, with and without a weight":   {Balance{}, []Candidate{shunned(1), shunned(0)}, []float64{1, 0}},
		"not shunned any more":                 {Balance{Strategy: Random}, []Candidate{{Weight: 1, ShunnedUntil: int64(now), Since: young}, one}, []float64{1. / 11, 10. / 11}},
		"a new one":                            {Balance{Strategy: Random}, []Candidate{since(young), one}, []float64{1. / 11, 10. / 11}},
		"shunned by a clock that was set back": {Balance{Strategy: Random}, []Candidate{{Weight: 1, ShunnedUntil: never, Since: never}, one}, []float64{0.5, 0.5}},
		"half way":                             {Balance{Strategy: Random}, []Candidate{since(half), one}, []float64{0.55 / 1.55, 1 / 1.55}},
		"all are new":                          {Balance{Strategy: RoundRobin}, []Candidate{since(young), since(young)}, []float64{0.5, 0.5}},
		"one lease is much for a new one":      {Balance{}, []Candidate{{Weight: 1, Since: young, Outstanding: 1}, {Weight: 1, Outstanding: 9}}, []float64{1. / 121, 120. / 121}},
		"a full one":                           {Balance{Strategy: Random}, []Candidate{busy(10), busy(9)}, []float64{0, 1}},
		"all are full":                         {Balance{Strategy: Random}, []Candidate{busy(10), busy(11)}, []float64{0.5, 0.5}},
		"who is near":                          {window, []Candidate{far(ms, 5), far(3*ms, 5), far(3*ms+1, 0)}, []float64{0.5, 0.5, 0}},
		"the near ones are full":               {window, []Candidate{far(ms, 10), far(2*ms, 12), far(9*ms, 9)}, []float64{0, 0, 1}},
		"one of the near ones is full":         {window, []Candidate{far(ms, 10), far(2*ms, 9), far(9*ms, 0)}, []float64{0, 1, 0}},
		"all are full, near and far":           {window, []Candidate{far(ms, 10), far(9*ms, 10)}, []float64{1, 0}},
		"the near one is shunned":              {window, []Candidate{{Weight: 1, RoundTrip: ms, ShunnedUntil: soon}, far(9*ms, 5)}, []float64{0, 1}},
		"nobody knows who is near":             {window, []Candidate{far(0, 0), far(0, 0)}, []float64{0.5, 0.5}},
		"one that was not measured is not far": {window, []Candidate{far(0, 0), far(9*ms, 0)}, []float64{0, 1}},
		"off":                                  {Balance{}, []Candidate{far(ms, 0), far(9*ms, 0)}, []float64{0.5, 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, got := range odds(test.Balance, test.table, now) {
				if math.Abs(got-test.want[i]) > 1.5/grid {
					t.Errorf("%d has %.3f, want %.3f", i, got, test.want[i])
				}
			}
		})
	}
}

// TestInTurn: turns are kept where nobody is newer than the others, whatever the dice say.
func TestInTurn(t *testing.T) {
	now := time.Hour
	young := Candidate{Weight: 1, Since: int64(now)}
	table := []Candidate{young, young, {}, young}
	for turn, want := range []int{0, 1, 3, 0, 1, 3} {
		if got := (Balance{Strategy: RoundRobin}).Choose(table, int64(now), Dice{Turn: uint64(turn), First: 0.99}); got != want {
			t.Errorf("turn %d is that of %d, want %d", turn, got, want)
		}
	}
}

// TestChooseAllocatesNothing: neither does looking at the candidates.
func TestChooseAllocatesNothing(t *testing.T) {
	p := New(Config{Size: 1})
	p.Apply(1, []Member{{ID: "a", Role: "reader", Weight: 1}, {ID: "b", Role: "reader", Weight: 1}})
	defer p.Close(t.Context(), true)
	a, b := p.Instance("a", "reader"), p.Instance("b", "reader")
	if n := testing.AllocsPerRun(1000, func() {
		var room [4]Candidate
		table := append(room[:0], a.Candidate(), b.Candidate())
		p.Choose(table).Answered(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkChoose(b *testing.B) {
	p := New(Config{Size: 25})
	p.Apply(1, []Member{{ID: "a", Role: "reader", Weight: 1}, {ID: "b", Role: "reader", Weight: 1}, {ID: "c", Role: "reader", Weight: 1}})
	defer p.Close(b.Context(), true)
	all := []*Instance{p.Instance("a", "reader"), p.Instance("b", "reader"), p.Instance("c", "reader")}
	for b.Loop() {
		var room [16]Candidate
		table := room[:0]
		for _, in := range all {
			table = append(table, in.Candidate())
		}
		p.Choose(table).Answered(time.Millisecond)
	}
}
