package driver

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// fleetGraph draws what TestFleetProcesses measured.
type fleetGraph struct {
	samples []fleetSample
	events  []fleetEvent
}

type fleetSample struct {
	at          time.Duration
	connections int
	limits      []int // of each process
}

type fleetEvent struct {
	at   time.Duration
	name string
}

func (g *fleetGraph) svg(budget, most int) []byte {
	const width, height, left, bottom = 900, 360, 50, 40
	end := g.samples[len(g.samples)-1].at.Seconds()
	x := func(at time.Duration) float64 { return left + (width-left-10)*at.Seconds()/end }
	y := func(n int) float64 { return height - bottom - float64(height-bottom-30)*float64(n)/float64(most) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	level := func(n int, name, colour string) {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="%s" stroke-dasharray="6 4"/><text x="%d" y="%.1f" fill="%s">%s: %d</text>`+"\n",
			left, y(n), width-10, colour, left+4, y(n)-4, colour, name, n)
	}
	level(most, "max_connections", "#b00020")
	level(budget, "budget of the fleet (60%)", "#c77700")
	line := func(colour string, points func(fleetSample) int) {
		fmt.Fprintf(&b, `<path fill="none" stroke-width="1.5" stroke="%s" d="M%.1f %.1f`, colour, x(0), y(0))
		last := 0
		for _, s := range g.samples {
			if n := points(s); n != last {
				fmt.Fprintf(&b, "H%.1fV%.1f", x(s.at), y(n))
				last = n
			}
		}
		fmt.Fprintf(&b, `H%d"/>`+"\n", width-10)
	}
	line("#00559b", func(s fleetSample) int { return s.connections })
	line("#2e7d32", func(s fleetSample) int { return slices.Max(s.limits) })
	line("#7cb342", func(s fleetSample) int { return slices.Min(s.limits) })
	for _, e := range g.events {
		fmt.Fprintf(&b, `<path d="M%.1f 20V%d" stroke="#888"/><text x="%.1f" y="16">%s</text>`+"\n", x(e.at), height-bottom, x(e.at)+2, e.name)
	}
	fmt.Fprintf(&b, `<path d="M%d 20V%dH%d" fill="none" stroke="black"/>`+"\n", left, height-bottom, width-10)
	for s := 0; float64(s) <= end; s += max(int(end)/10/5*5, 5) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%ds</text>`+"\n", x(time.Duration(s)*time.Second), height-bottom+16, s)
	}
	for n := 0; n <= most; n += max(most/50*10, 10) {
		fmt.Fprintf(&b, `<text x="%d" y="%.1f">%d</text>`+"\n", left-28, y(n)+4, n)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d"><tspan fill="#00559b">connections of all processes</tspan>  <tspan fill="#2e7d32">largest</tspan> and <tspan fill="#7cb342">smallest limit of a process</tspan></text>`+"\n</svg>\n", left, height-6)
	return b.Bytes()
}
