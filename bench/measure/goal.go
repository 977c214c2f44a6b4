package measure

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Goal is one line of the table: a figure and what it is to reach. With none of
// AtLeast, AtMost and None set it is a line for information.
type Goal struct {
	Group   string
	Name    string
	Unit    string
	AtLeast float64
	AtMost  float64
	None    bool // it is to be 0
	Got     Sample
}

// Verdict says whether the median reaches the goal: ok, MISS or "".
func (g Goal) Verdict() string {
	m := g.Got.Median()
	switch {
	case g.AtLeast == 0 && g.AtMost == 0 && !g.None:
		return ""
	case math.IsNaN(m), g.AtLeast != 0 && m < g.AtLeast, g.AtMost != 0 && m > g.AtMost, g.None && m != 0:
		return "MISS"
	}
	return "ok"
}

func (g Goal) bound() string {
	switch {
	case g.AtLeast != 0:
		return ">= " + Short(g.AtLeast)
	case g.None:
		return "0"
	case g.AtMost != 0:
		return "<= " + Short(g.AtMost)
	}
	return ""
}

// Short prints a number with as many digits as matter.
func Short(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "?"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	}
}

// header names the columns of a table of goals.
var header = [...]string{"what", "unit", "goal", "figure", "quarters", "verdict"}

// columns are a goal's cells.
func (g Goal) columns() [len(header)]string {
	low, high := g.Got.Spread()
	return [...]string{g.Name, g.Unit, g.bound(), Short(g.Got.Median()), Short(low) + " - " + Short(high), g.Verdict()}
}

// Table prints goals for a terminal.
func Table(w io.Writer, goals []Goal) {
	var width [len(header)]int
	for i, h := range header {
		width[i] = len(h)
	}
	for _, g := range goals {
		for i, c := range g.columns() {
			width[i] = max(width[i], len(c))
		}
	}
	line := func(cells [len(header)]string) {
		var b strings.Builder
		for i, c := range cells {
			fmt.Fprintf(&b, "  %-*s", width[i], c)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	line(header)
	group := ""
	for _, g := range goals {
		if g.Group != group {
			group = g.Group
			fmt.Fprintln(w, group)
		}
		line(g.columns())
	}
	met, set := 0, 0
	for _, g := range goals {
		switch g.Verdict() {
		case "ok":
			met++
			fallthrough
		case "MISS":
			set++
		}
	}
	fmt.Fprintf(w, "%d of %d goals reached\n", met, set)
}

// Markdown prints goals as a table of a document.
func Markdown(w io.Writer, goals []Goal) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(header[:], " | "), strings.Repeat(" --- |", len(header)))
	for _, g := range goals {
		c := g.columns()
		c[0] = g.Group + ": " + c[0]
		fmt.Fprintf(w, "| %s |\n", strings.Join(c[:], " | "))
	}
}
