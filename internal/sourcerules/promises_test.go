package sourcerules

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// promisesFile numbers the promises and names the tests that show each.
const promisesFile = "docs/promises.md"

var (
	promiseHeading = regexp.MustCompile(`(?m)^## (\d+)\. `)
	testLink       = regexp.MustCompile(`\[(\w+)\]\((\S+_test\.go)\)`)
	suiteName      = regexp.MustCompile(`"([^"]+)"`)
	promiseMention = regexp.MustCompile(`[Pp]romises?((?:,? (?:and |to )?\d+)+)`)
	number         = regexp.MustCompile(`\d+`)
)

// promises returns the sections of promisesFile by number. The text before the
// first one has the number 0.
func promises(text string) (map[int]string, error) {
	sections := map[int]string{}
	begin, current := 0, 0
	for _, heading := range promiseHeading.FindAllStringSubmatchIndex(text, -1) {
		sections[current] = text[begin:heading[0]]
		n, err := strconv.Atoi(text[heading[2]:heading[3]])
		if err != nil {
			return nil, err
		}
		if n != current+1 {
			return nil, fmt.Errorf("promise %d follows promise %d", n, current)
		}
		begin, current = heading[0], n
	}
	sections[current] = text[begin:]
	return sections, nil
}

func readPromises(t *testing.T) map[int]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, promisesFile))
	if err != nil {
		t.Fatal(err)
	}
	sections, err := promises(string(text))
	if err != nil {
		t.Fatalf("%s: %v", promisesFile, err)
	}
	if len(sections) < 2 {
		t.Fatalf("%s has no numbered promises", promisesFile)
	}
	return sections
}

func TestEachPromiseNamesTestsThatExist(t *testing.T) {
	tests := map[string][]string{} // test functions by file
	checks := map[string]bool{}    // names of checks in the conformance suites
	for _, f := range goFiles(t) {
		tests[f.path] = testFunctions(f)
		if under(f.dir, "registry/registrytest", "internal/store/storetest") {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok {
					if name, err := strconv.Unquote(literal.Value); err == nil {
						checks[name] = true
					}
				}
				return true
			})
		}
	}
	for n, section := range readPromises(t) {
		links := testLink.FindAllStringSubmatch(section, -1)
		if n > 0 && len(links) == 0 {
			t.Errorf("%s: promise %d names no test", promisesFile, n)
		}
		for _, link := range links {
			file := path.Join(path.Dir(promisesFile), link[2])
			if !slices.Contains(tests[file], link[1]) {
				t.Errorf("%s: promise %d names %s, which is not in %s", promisesFile, n, link[1], file)
			}
		}
		if _, suites, ok := strings.Cut(section, "suite: "); ok {
			for _, quoted := range suiteName.FindAllStringSubmatch(suites, -1) {
				if !checks[quoted[1]] {
					t.Errorf("%s: promise %d names the check %q, which no conformance suite has", promisesFile, n, quoted[1])
				}
			}
		}
	}
}

func testFunctions(f goFile) []string {
	var names []string
	for _, decl := range f.syntax.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}

func TestEachPromiseMentionedExists(t *testing.T) {
	known := readPromises(t)
	mentioned := 0
	for _, f := range goFiles(t) {
		if !under(f.dir, "faults") {
			continue
		}
		for i, line := range readLines(t, filepath.Join(root, f.path)) {
			for _, n := range mentionedPromises(line) {
				mentioned++
				if _, ok := known[n]; !ok || n == 0 {
					t.Errorf("%s:%d mentions promise %d, which %s does not have", f.path, i+1, n, promisesFile)
				}
			}
		}
	}
	if mentioned == 0 {
		t.Error("no test in faults mentions a promise")
	}
}

// mentionedPromises returns the numbers of the promises that a line mentions.
func mentionedPromises(line string) []int {
	var numbers []int
	for _, mention := range promiseMention.FindAllStringSubmatch(line, -1) {
		for _, digits := range number.FindAllString(mention[1], -1) {
			n, err := strconv.Atoi(digits)
			if err != nil {
				n = -1 // too large for an int
			}
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func TestMentionedPromisesAreFound(t *testing.T) {
	for line, want := range map[string][]int{
		"Promise 1, kept alive; promise 7: nothing.": {1, 7},
		"Promises 2, 3, 5 and 6 hold.":               {2, 3, 5, 6},
		"Promise 1 and 3.":                           {1, 3},
		"promise of 3 words, 5 promises":             nil,
	} {
		if got := mentionedPromises(line); !slices.Equal(got, want) {
			t.Errorf("in %q promises %v are found, want %v", line, got, want)
		}
	}
}
