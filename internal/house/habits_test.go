package house

import (
	"go/ast"
	"path/filepath"
	"slices"
	"testing"
)

const maxLines = 500

func TestFilesAreSmall(t *testing.T) {
	for _, ending := range []string{".go", ".lua"} {
		for _, name := range sources(t, ending) {
			if n := len(readLines(t, filepath.Join(root, name))); n > maxLines {
				t.Errorf("%s has %d lines, more than %d: give each subject a file of its own", name, n, maxLines)
			}
		}
	}
}

// Waiting by the clock makes tests slow or flaky, and programs deaf to their
// context. In a synctest bubble, a sleep takes no time and is the way to pass it.
func TestNobodySleeps(t *testing.T) {
	for _, f := range goFiles(t) {
		bubble := f.test && slices.Contains(f.imports, "testing/synctest")
		if bubble || under(f.dir, "faults", "bench", "internal/testredis", "internal/faultnet") {
			continue
		}
		calls(f, func(receiver, name string, line int) {
			if receiver == "time" && name == "Sleep" {
				t.Errorf("%s:%d: time.Sleep: wait for a signal or a context, or test in a synctest bubble", f.path, line)
			}
		})
	}
}

// A test that does not run shows nothing.
func TestNobodySkips(t *testing.T) {
	for _, f := range goFiles(t) {
		calls(f, func(receiver, name string, line int) {
			if slices.Contains([]string{"t", "b", "f", "tb"}, receiver) && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, name) {
				t.Errorf("%s:%d: %s.%s: make it run or fail", f.path, line, receiver, name)
			}
		})
	}
}

// calls visits every mention of the form receiver.name.
func calls(f goFile, visit func(receiver, name string, line int)) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if receiver, ok := s.X.(*ast.Ident); ok {
				visit(receiver.Name, s.Sel.Name, f.positions.Position(s.Pos()).Line)
			}
		}
		return true
	})
}
