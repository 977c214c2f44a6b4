package main

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rollcall-sd/rollcall/registry"
)

// Styles are parameters of the escape sequence that begins a style.
const (
	styleDim    = "2"
	styleRed    = "31"
	styleGreen  = "32"
	styleYellow = "33"
	styleCyan   = "36"
)

func statusStyle(status registry.Status) string {
	switch status {
	case registry.StatusPassing:
		return styleGreen
	case registry.StatusWarning:
		return styleYellow
	case registry.StatusCritical:
		return styleRed
	default:
		return styleCyan
	}
}

// table is text in columns.
type table struct {
	header []string
	rows   [][]cell
}

// cell is one value of a table. An empty style is the terminal's own.
type cell struct{ text, style string }

// write writes the table, with styles if f is a terminal.
func (t table) write(f *os.File) error {
	_, err := io.WriteString(f, t.format(colored(f)))
	return err
}

func (t table) format(color bool) string {
	rows := make([][]cell, 0, len(t.rows)+1)
	header := make([]cell, len(t.header))
	for i, text := range t.header {
		header[i] = cell{text, styleDim}
	}
	rows = append(append(rows, header), t.rows...)
	width := make([]int, len(t.header))
	for _, row := range rows {
		for i := range row {
			row[i].text = printable(row[i].text)
			width[i] = max(width[i], utf8.RuneCountInString(row[i].text))
		}
	}
	var out strings.Builder
	for _, row := range rows {
		last := len(row) - 1
		for last > 0 && row[last].text == "" {
			last--
		}
		for i, c := range row[:last+1] {
			out.WriteString(styled(c.text, c.style, color))
			if i < last {
				out.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

func styled(text, style string, color bool) string {
	if !color || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// colored reports whether text for f may have styles: f is a terminal that has them,
// and the user has not declined.
func colored(f *os.File) bool {
	return isTerminal(f) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printable replaces what could control a terminal: other programs may have written
// to the backend.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}
