package servercheck

import (
	"fmt"
	"strings"
	"unicode"
)

// Result is what a check found.
type Result string

const (
	// Passed: the server permits it.
	Passed Result = "ok"
	// Limited: a registry works, with a restriction or a risk that Detail names.
	Limited Result = "limited"
	// Failed: something must be changed, because a registry does not work with this
	// server or user, or may lose instances that run.
	Failed Result = "failed"
	// Unknown: the server does not say, or what the check needs is missing.
	Unknown Result = "unknown"
)

// weight orders results: of several servers' the heaviest counts.
func (r Result) weight() int {
	switch r {
	case Failed:
		return 3
	case Limited:
		return 2
	case Unknown:
		return 1
	default:
		return 0
	}
}

// Finding is the result of one check. The names of its JSON keys and of the checks
// are stable.
type Finding struct {
	Check  string `json:"check"` // what was checked, such as "scripts"
	Result Result `json:"result"`
	Detail string `json:"detail"` // what was found; may be empty when Passed
	Remedy string `json:"remedy"` // what to change; empty when there is nothing to change
	Why    string `json:"why"`    // why to change it; empty without a Remedy
}

// Report is what Run found.
type Report struct {
	Kind     string    `json:"kind"`    // such as "Redis" or "Valkey"; "" when the server does not say
	Version  string    `json:"version"` // "" when the server does not say
	Findings []Finding `json:"findings"`
}

// Failed reports whether something must be changed.
func (r Report) Failed() bool { return r.Count(Failed) > 0 }

// Count returns how many findings have a result.
func (r Report) Count(result Result) int {
	n := 0
	for _, f := range r.Findings {
		if f.Result == result {
			n++
		}
	}
	return n
}

// String has a line for each finding, and two more for a remedy.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, oneLine(strings.TrimSpace(strings.Join([]string{"server:", r.Kind, r.Version}, " "))))
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-8s %s", f.Result, f.Check)
		if f.Detail != "" {
			fmt.Fprint(&b, ": ", oneLine(f.Detail))
		}
		fmt.Fprintln(&b)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%-8s   change: %s\n", "", oneLine(f.Remedy))
		}
		if f.Why != "" {
			fmt.Fprintf(&b, "%-8s   why: %s\n", "", f.Why)
		}
	}
	return b.String()
}

// oneLine replaces what would break a line or control a terminal: servers write parts
// of the text.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, text)
}

func passed(check, detail string) Finding {
	return Finding{Check: check, Result: Passed, Detail: detail}
}

func limited(check, detail, remedy, why string) Finding {
	return Finding{Check: check, Result: Limited, Detail: detail, Remedy: remedy, Why: why}
}

func failed(check, detail, remedy, why string) Finding {
	return Finding{Check: check, Result: Failed, Detail: detail, Remedy: remedy, Why: why}
}

func unknown(check, detail string) Finding {
	return Finding{Check: check, Result: Unknown, Detail: detail}
}
