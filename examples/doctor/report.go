package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// report is what the doctor says, as it is in JSON.
type report struct {
	Time      time.Time `json:"time"`
	Topology  string    `json:"topology"`
	Decided   string    `json:"decided"` // what led to it
	Writer    string    `json:"writer"`  // "" = there is none
	Processes int       `json:"processes"`
	Failures  int       `json:"failures"`
	Warnings  int       `json:"warnings"`
	Findings  []finding `json:"findings"`

	asked int // instances that could be asked
}

// examine lets all checks look at the facts.
func examine(f *facts) *report {
	r := &report{Time: f.now, Topology: f.provider, Decided: f.decided, Processes: f.processes, asked: len(f.up())}
	if w := f.writer(); w != nil {
		r.Writer = w.id
	}
	for _, c := range checks {
		r.Findings = append(r.Findings, c(f)...)
	}
	for _, one := range r.Findings {
		switch one.Level {
		case fail:
			r.Failures++
		case warn:
			r.Warnings++
		case ok, skip:
		}
	}
	return r
}

func (r *report) print(out io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	lines := r.merged()
	var check, where int
	for _, l := range lines {
		check, where = max(check, len(l.Check)), max(where, utf8.RuneCountInString(l.Instance))
	}
	for _, l := range lines {
		fmt.Fprintf(out, "%-4s  %-*s  %-*s  %s\n", l.Level, check, l.Check, where, l.Instance, l.Text)
		if l.Advice != "" {
			fmt.Fprintf(out, "%*s> %s\n", 6+check+2+where+2, "", l.Advice)
		}
	}
	_, err := fmt.Fprintf(out, "%s, %s\n", counted(r.Failures, "failure"), counted(r.Warnings, "warning"))
	return err
}

// merged says what is true of several instances once. Latencies are the same by chance only.
func (r *report) merged() []finding {
	var lines []finding
	times := make(map[int]int)
	for _, one := range r.Findings {
		same := slices.IndexFunc(lines, func(l finding) bool {
			return one.Check != "latency" && l.Instance != "" && one.Instance != "" && l.Level == one.Level && l.Check == one.Check && l.Text == one.Text && l.Advice == one.Advice
		})
		if same < 0 {
			lines = append(lines, one)
			continue
		}
		lines[same].Instance += ", " + one.Instance
		if times[same]++; times[same] == r.asked-1 {
			lines[same].Instance = "all"
		}
	}
	return lines
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// oneLine is a text of somebody else's, fit for a report.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 500 {
		text = string(runes[:500]) + "…"
	}
	return text
}
