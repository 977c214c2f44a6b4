package sourcerules

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unwantedWords is a file of patterns of words that plain technical English does
// not need, one a line.
const unwantedWords = "testdata/words"

// The words count in comments, names, messages and prose.
func TestWordsArePlain(t *testing.T) {
	unwanted := wordPattern(readLines(t, unwantedWords))
	for _, name := range proseFiles(t) {
		for i, line := range readLines(t, filepath.Join(root, name)) {
			for _, word := range unwanted.FindAllString(apart(line), -1) {
				t.Errorf("%s:%d: %q: use plain technical English and the words of docs/glossary.md", name, i+1, word)
			}
		}
	}
}

func wordPattern(words []string) *regexp.Regexp {
	return regexp.MustCompile(`\b(?:` + strings.Join(words, "|") + `)\b`)
}

var (
	wordEnd    = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	acronymEnd = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
)

// apart returns a line in lower case, with the words of each name set apart.
func apart(line string) string {
	line = wordEnd.ReplaceAllString(line, "$1 $2")
	line = acronymEnd.ReplaceAllString(line, "$1 $2")
	return strings.ToLower(strings.ReplaceAll(line, "_", " "))
}

// proseFiles returns the paths, relative to the root, of all Go, Lua and
// Markdown files, of all shell scripts and of the Makefile.
func proseFiles(t *testing.T) []string {
	t.Helper()
	names := slices.Concat(sources(t, ".go"), sources(t, ".lua"), sources(t, ".md"), sources(t, "Makefile"))
	for _, dir := range []string{".ci", "scripts"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil || !bytes.HasPrefix(text, []byte("#!")) {
				return err
			}
			rel, err := filepath.Rel(root, name)
			names = append(names, filepath.ToSlash(rel))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestUnwantedWordsAreFound(t *testing.T) {
	unwanted := wordPattern([]string{"foo", "two words"})
	for line, want := range map[string]int{
		"// Foo, and two words.":    2,
		"func TestFooIsFound() {":   1,
		"const foo_bar = \"food\"":  1,
		"// foot, buffoon, two, wo": 0,
		"func TestAFooHTTPFoo() {":  2,
		"func TestAfoo() {":         0,
	} {
		if got := len(unwanted.FindAllString(apart(line), -1)); got != want {
			t.Errorf("in %q %d words are found, want %d", line, got, want)
		}
	}
}
