package sourcerules

import (
	"go/ast"
	"go/parser"
	"go/token"
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

// realTime are the folders whose code waits in real time: benchmarks, and servers
// and proxies for tests.
var realTime = []string{"bench", "internal/redistest", "internal/faultnet", "internal/deploytest"}

// faultsWaits is the file of faults with the functions that wait. Tests of faults
// call them, and say what they wait for.
const faultsWaits = "faults/bounds_test.go"

// Sleeping makes tests slow or flaky, and programs ignore their context. In a
// synctest bubble a sleep takes no real time.
func TestNoSleeping(t *testing.T) {
	const advice = "wait for a signal or a context, test in a synctest bubble, or in faults call pause"
	for _, f := range goFiles(t) {
		bubble := f.test && slices.Contains(f.imports, "testing/synctest")
		if bubble || f.path == faultsWaits || under(f.dir, realTime...) {
			continue
		}
		calls(f, func(receiver, name string, line int) {
			if receiver == "time" && name == "Sleep" {
				t.Errorf("%s:%d: time.Sleep: %s", f.path, line, advice)
			}
		})
		for _, line := range timerWaits(f) {
			t.Errorf("%s:%d: waiting for nothing but a timer is a sleep: %s", f.path, line, advice)
		}
	}
}

// timerWaits returns the lines that receive from a new timer, and are no case of
// a select that has others.
func timerWaits(f goFile) []int {
	deadlines := map[ast.Node]bool{} // receives that are
	var lines []int
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectStmt:
			for _, c := range n.Body.List {
				if comm, ok := c.(*ast.CommClause).Comm.(*ast.ExprStmt); ok && len(n.Body.List) > 1 {
					deadlines[comm.X] = true
				}
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW && newTimer(n.X) && !deadlines[n] {
				lines = append(lines, f.positions.Position(n.Pos()).Line)
			}
		}
		return true
	})
	return lines
}

// newTimer reports whether an expression is time.After, time.Tick, or the C of
// time.NewTimer or time.NewTicker, called in place.
func newTimer(e ast.Expr) bool {
	if c, ok := e.(*ast.SelectorExpr); ok && c.Sel.Name == "C" {
		e = c.X
	}
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	receiver, ok := f.X.(*ast.Ident)
	return ok && receiver.Name == "time" && slices.Contains([]string{"After", "Tick", "NewTimer", "NewTicker"}, f.Sel.Name)
}

func TestTimerWaitsAreFound(t *testing.T) {
	const source = `package p

func f() {
	<-time.After(d)
	_ = <-time.NewTimer(d).C
	for ; ; <-time.Tick(d) {
	}
	select {
	case <-time.After(d):
	}
	select {
	case <-c:
		<-time.After(d)
	case <-time.After(d):
	}
	late := time.After(d)
	select {
	case <-c:
	case <-late:
	}
}
`
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := timerWaits(goFile{syntax: syntax, positions: positions})
	if want := []int{4, 5, 6, 9, 13}; !slices.Equal(got, want) {
		t.Errorf("waits for a timer alone are in lines %v, want %v", got, want)
	}
}

// A test that does not run shows nothing.
func TestNoSkippedTests(t *testing.T) {
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
