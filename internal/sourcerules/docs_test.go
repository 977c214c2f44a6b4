package sourcerules

import (
	"path/filepath"
	"regexp"
	"testing"
)

// Every test that a Markdown file names exists.
func TestDocsNameTestsThatExist(t *testing.T) {
	tests := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, name := range testFunctions(f) {
			tests[name] = true
		}
	}
	testName := regexp.MustCompile(`\bTest[A-Z]\w*`)
	for _, file := range sources(t, ".md") {
		for i, line := range readLines(t, filepath.Join(root, file)) {
			for _, name := range testName.FindAllString(line, -1) {
				if !tests[name] {
					t.Errorf("%s:%d: there is no test %s", file, i+1, name)
				}
			}
		}
	}
}
