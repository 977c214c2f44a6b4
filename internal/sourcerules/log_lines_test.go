package sourcerules

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logging are the folders whose log lines docs/operating.md lists.
var logging = []string{"registry", "balance", "health", "grpcresolver", "internal"}

// notLogging are folders below those, of tests, examples and the tools of tests.
var notLogging = []string{"registry/registrytest", "grpcresolver/examples", "internal/redistest", "internal/programtest",
	"internal/deploytest", "internal/faultnet", "internal/store/storetest"}

// formattedMessages are the messages that code makes before it logs them, by the file
// that logs them: literals of the same package with verbs.
var formattedMessages = map[string][]string{
	"registry/redis.go": {"a TTL of %v holds fewer than three heartbeats of %v: one or two late ones end a registration"},
}

// logLine is one message, with the levels at which it is logged. A message may
// have "…" for parts that vary.
type logLine struct {
	message string
	levels  []string // empty: the code chooses it at run time
	where   string
}

// The table of log lines in docs/operating.md has every message, at its level, and
// no other.
func TestOperatingListsEveryLogLine(t *testing.T) {
	listed := listedLogLines(t)
	logged := loggedLines(t)
	for _, l := range logged {
		i := slices.IndexFunc(listed, func(d logLine) bool { return d.covers(l.message) })
		if i < 0 {
			t.Errorf("%s logs %q, which docs/operating.md does not list", l.where, l.message)
			continue
		}
		for _, level := range l.levels {
			if !slices.Contains(listed[i].levels, level) {
				t.Errorf("%s logs %q as %s, docs/operating.md has %v", l.where, l.message, level, listed[i].levels)
			}
		}
	}
	for _, d := range listed {
		if !slices.ContainsFunc(logged, func(l logLine) bool { return d.covers(l.message) }) {
			t.Errorf("docs/operating.md lists %q, which no code logs", d.message)
		}
	}
}

// covers reports whether the listed line stands for a message.
func (d logLine) covers(message string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(d.message), "…", ".*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(message)
}

// listedLogLines returns the rows of the tables in docs/operating.md that list log lines.
func listedLogLines(t *testing.T) []logLine {
	t.Helper()
	row := regexp.MustCompile("^\\| ((?:WARN|INFO|ERROR|DEBUG)(?:, (?:WARN|INFO|ERROR|DEBUG))*) `([^`]+)` \\|")
	var lines []logLine
	for _, text := range readLines(t, filepath.Join(root, "docs/operating.md")) {
		if m := row.FindStringSubmatch(text); m != nil {
			lines = append(lines, logLine{message: m[2], levels: strings.Split(m[1], ", ")})
		}
	}
	if len(lines) == 0 {
		t.Fatal("docs/operating.md lists no log line")
	}
	return lines
}

// loggedLines returns what the library's code logs.
func loggedLines(t *testing.T) []logLine {
	t.Helper()
	var lines []logLine
	for _, f := range goFiles(t) {
		if f.test || !under(f.dir, logging...) || under(f.dir, notLogging...) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !logs(call) {
				return true
			}
			where := f.path + ":" + strconv.Itoa(f.positions.Position(call.Pos()).Line)
			message, levels, ok := messageOf(call)
			switch formatted := formattedMessages[f.path]; {
			case ok:
				lines = append(lines, logLine{message, levels, where})
			case formatted != nil:
				for _, format := range formatted {
					if !hasLiteral(t, f.dir, format) {
						t.Errorf("formattedMessages has %q for %s, which is no literal of its package", format, f.path)
					}
					lines = append(lines, logLine{strings.ReplaceAll(format, "%v", "…"), levels, where})
				}
			case !forwards(f.syntax, call):
				t.Errorf("%s logs a message that is no literal: add it to formattedMessages", where)
			}
			return true
		})
	}
	return lines
}

// logs reports whether a call is one of a logger's methods, or of a method named log.
func logs(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	var receiver string
	switch x := f.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.SelectorExpr:
		receiver = x.Sel.Name
	}
	switch f.Sel.Name {
	case "Debug", "Info", "Warn", "Error", "Log":
		return receiver == "slog" || strings.HasSuffix(strings.ToLower(receiver), "logger")
	case "log":
		return true
	}
	return false
}

// messageOf returns the literal message of a call that logs, and its level if the
// source shows it. It returns false if the message is no literal.
func messageOf(call *ast.CallExpr) (message string, levels []string, ok bool) {
	name := call.Fun.(*ast.SelectorExpr).Sel.Name
	if name != "log" && name != "Log" {
		levels = []string{strings.ToUpper(name)}
	}
	for _, arg := range call.Args {
		switch a := arg.(type) {
		case *ast.SelectorExpr: // slog.LevelWarn
			if level, found := strings.CutPrefix(a.Sel.Name, "Level"); found {
				levels = []string{strings.ToUpper(level)}
			}
		case *ast.BasicLit:
			if a.Kind == token.STRING {
				message, err := strconv.Unquote(a.Value)
				return message, levels, err == nil
			}
		}
	}
	return "", levels, false
}

// forwards reports whether a call hands on the message of the method around it,
// which is one that logs.
func forwards(file *ast.File, call *ast.CallExpr) bool {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Pos() <= call.Pos() && call.End() <= f.End() {
			return f.Name.Name == "log"
		}
	}
	return false
}

// hasLiteral reports whether code of a folder has the text as a literal.
func hasLiteral(t *testing.T, dir, text string) bool {
	t.Helper()
	for _, f := range goFiles(t) {
		if f.test || f.dir != dir {
			continue
		}
		found := false
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if got, err := strconv.Unquote(lit.Value); err == nil && got == text {
					found = true
				}
			}
			return !found
		})
		if found {
			return true
		}
	}
	return false
}
