package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// event is one line of output.
type event struct {
	at             time.Duration
	kind, id, text string
}

// screen shows events and the table of instances. On a terminal, events scroll
// above the table, which is redrawn in place; elsewhere there are plain lines
// only. It is not safe for concurrent use.
type screen struct {
	w     io.Writer
	live  bool // a terminal: the table is redrawn in place
	color bool
	drawn int // lines of the table on the screen
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	live := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &screen{w: f, live: live, color: live && os.Getenv("NO_COLOR") == ""}
}

// Escape sequences.
const (
	clearBelow = "\x1b[J"
	wrapOff    = "\x1b[?7l" // a long line is cut, so that it stays one line
	wrapOn     = "\x1b[?7h"
	styleBold  = "1"
	styleDim   = "2"
	styleRed   = "31"
	styleGreen = "32"
	styleCyan  = "36"
)

// event shows the event and, on a terminal, the table below it.
func (s *screen) event(e event, rows []*row) {
	var out bytes.Buffer
	s.eraseTable(&out)
	out.WriteString(s.eventLine(e))
	s.drawTable(&out, rows)
	s.flush(&out)
}

// refresh redraws the table on a terminal.
func (s *screen) refresh(rows []*row) {
	if !s.live {
		return
	}
	var out bytes.Buffer
	s.eraseTable(&out)
	s.drawTable(&out, rows)
	s.flush(&out)
}

// tally shows the calls so far on one line, unless there is a live table.
func (s *screen) tally(at time.Duration, rows []*row) {
	if s.live {
		return
	}
	var counts []string
	for _, r := range rows {
		count := fmt.Sprintf("%s %d ok", r.id, r.answered)
		if r.failed > 0 {
			count += fmt.Sprintf(" %d failed", r.failed)
		}
		counts = append(counts, count)
	}
	s.event(event{at, "calls", "", strings.Join(counts, ", ")}, nil)
}

// finish draws the final table and writes text below it.
func (s *screen) finish(text string, rows []*row) {
	var out bytes.Buffer
	s.eraseTable(&out)
	out.WriteString("\n" + s.table(rows) + "\n" + text)
	s.flush(&out)
}

func (s *screen) eraseTable(out *bytes.Buffer) {
	if s.drawn > 0 {
		fmt.Fprintf(out, "\x1b[%dA\r%s", s.drawn, clearBelow)
	}
	s.drawn = 0
}

func (s *screen) drawTable(out *bytes.Buffer, rows []*row) {
	if !s.live || len(rows) == 0 {
		return
	}
	table := "\n" + s.table(rows)
	out.WriteString(wrapOff + table + wrapOn)
	s.drawn = strings.Count(table, "\n")
}

func (s *screen) flush(out *bytes.Buffer) {
	// The scenario runs to its end even if the output is closed.
	_, _ = s.w.Write(out.Bytes())
}

// eventLine renders an event; one without a kind is a heading.
func (s *screen) eventLine(e event) string {
	if e.kind == "" {
		return "\n" + s.style(styleBold, e.text) + "\n"
	}
	style := styleCyan
	switch e.kind {
	case kindKill, kindLog:
		style = styleRed
	case kindCall:
		style = styleGreen
		if strings.HasPrefix(e.text, "fails") {
			style = styleRed
		}
	}
	kind := s.style(style, fmt.Sprintf("%-5s", e.kind))
	id := e.id
	if id != "" {
		id = fmt.Sprintf("%-7s  ", id)
	}
	return fmt.Sprintf("%6.2fs  %s  %s%s\n", e.at.Seconds(), kind, id, e.text)
}

// table renders the rows; it ends in a newline.
func (s *screen) table(rows []*row) string {
	const format = "%-9s  %-15s  %-8s  %8s  %6s  "
	var out strings.Builder
	out.WriteString(s.style(styleDim,
		fmt.Sprintf(format+"%s", "INSTANCE", "ADDRESS", "WATCH", "ANSWERED", "FAILED", "LAST CALL")) + "\n")
	for _, r := range rows {
		line := fmt.Sprintf(format, r.id, r.address, r.state, fmt.Sprint(r.answered), fmt.Sprint(r.failed))
		last := r.last
		switch {
		case r.state != stateListed:
			line, last = s.style(styleDim, line), s.style(styleDim, last)
		case r.last != "" && r.lastOK:
			last = s.style(styleGreen, last)
		case r.last != "":
			last = s.style(styleRed, last)
		}
		out.WriteString(strings.TrimRight(line+last, " ") + "\n")
	}
	return out.String()
}

func (s *screen) style(code, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
