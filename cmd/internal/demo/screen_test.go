package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// shown returns what a terminal shows after it was sent text that uses no
// escape sequences but those of an uncoloured screen.
func shown(t *testing.T, text string) string {
	t.Helper()
	var lines []string
	at := 0 // line of the cursor, which stands at column 0 whenever it is moved
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexAny(rest, "AJhl")
			if end < 0 {
				t.Fatalf("unknown escape sequence: %q", text)
			}
			switch sequence := rest[:end+1]; {
			case sequence == "J":
				lines = lines[:at]
			case sequence == "?7l", sequence == "?7h":
			default:
				var up int
				if _, err := fmt.Sscanf(sequence, "%dA", &up); err != nil {
					t.Fatalf("unknown escape sequence %q", sequence)
				}
				at -= up
			}
			text = rest[end+1:]
			continue
		}
		if rest, ok := strings.CutPrefix(text, "\r"); ok {
			text = rest
			continue
		}
		line, rest, ended := strings.Cut(text, "\n")
		if escape := strings.IndexByte(line, '\x1b'); escape >= 0 || !ended {
			t.Fatalf("a line without an end: %q", text)
		}
		lines = append(lines[:at], line)
		at++
		text = rest
	}
	return strings.Join(lines, "\n")
}

func rowsOfEachKind() []*row {
	return []*row{
		{id: "hello-1", address: "127.0.0.1:40001", state: stateListed, answered: 12, last: "hello from hello-1", lastOK: true},
		{id: "hello-2", address: "127.0.0.1:40002", state: stateListed, answered: 9, failed: 3, last: "connection refused"},
		{id: "hello-3", state: stateStarting},
	}
}

// On a terminal the events scroll by and the table stays below them, once.
func TestScreenLive(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out, live: true}
	rows := rowsOfEachKind()
	s.event(event{0, "", "", "Heading."}, nil)
	s.event(event{1500 * time.Millisecond, kindStart, "hello-3", "starts"}, rows)
	s.refresh(rows)
	rows[0].answered = 13
	s.refresh(rows)
	s.event(event{12 * time.Second, kindNote, "", "a note"}, rows)
	s.tally(0, rows)
	want := `
Heading.
  1.50s  start  hello-3  starts
 12.00s  note   a note

INSTANCE   ADDRESS          WATCH     ANSWERED  FAILED  LAST CALL
hello-1    127.0.0.1:40001  listed          13       0  hello from hello-1
hello-2    127.0.0.1:40002  listed           9       3  connection refused
hello-3                     starting         0       0`
	if got := shown(t, out.String()); got != want {
		t.Errorf("the terminal shows:\n%s\nwant:\n%s", got, want)
	}
	s.finish("Done.\n", rows)
	if got := shown(t, out.String()); strings.Count(got, "INSTANCE") != 1 || !strings.HasSuffix(got, "\n\nDone.") {
		t.Errorf("at the end the terminal shows:\n%s", got)
	}
}

// Elsewhere there are plain lines, and counts in place of the live table.
func TestScreenPlain(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	rows := rowsOfEachKind()
	s.event(event{0, kindCall, "hello-1", `answers: "hello from hello-1"`}, rows)
	s.refresh(rows)
	s.tally(2*time.Second, rows)
	want := `  0.00s  call   hello-1  answers: "hello from hello-1"
  2.00s  calls  hello-1 12 ok, hello-2 9 ok 3 failed, hello-3 0 ok
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestScreenColor(t *testing.T) {
	s := &screen{color: true}
	for want, e := range map[string]event{
		"\x1b[31mcall \x1b[0m":  {0, kindCall, "hello-1", "fails: connection refused"},
		"\x1b[32mcall \x1b[0m":  {0, kindCall, "hello-1", "answers"},
		"\x1b[31mkill \x1b[0m":  {0, kindKill, "hello-1", "SIGKILL"},
		"\x1b[36mwatch\x1b[0m":  {0, kindWatch, "hello-1", "added"},
		"\x1b[1mHeading\x1b[0m": {0, "", "", "Heading"},
	} {
		if got := s.eventLine(e); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}
