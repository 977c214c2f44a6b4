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
	unwanted := newWordList(readLines(t, unwantedWords))
	for _, name := range proseFiles(t) {
		for i, line := range readLines(t, filepath.Join(root, name)) {
			for _, word := range unwanted.find(line) {
				t.Errorf("%s:%d: %q: use plain technical English and the words of docs/glossary.md", name, i+1, word)
			}
		}
	}
}

// wordList finds words and phrases in lines.
type wordList struct {
	pattern *regexp.Regexp
	first   map[string]bool // the first word of each: most lines have none and are not matched
}

func newWordList(words []string) *wordList {
	l := &wordList{pattern: regexp.MustCompile(`\b(?:` + strings.Join(words, "|") + `)\b`), first: make(map[string]bool)}
	for _, w := range words {
		first, _, _ := strings.Cut(w, " ")
		l.first[first] = true
	}
	return l
}

func (l *wordList) find(line string) []string {
	words := apart(line)
	if !slices.ContainsFunc(words, func(w string) bool { return l.first[w] }) {
		return nil
	}
	return l.pattern.FindAllString(strings.Join(words, " "), -1)
}

// apart returns the words of a line in lower case, and what is between them. A name of
// several words is set apart.
func apart(line string) (words []string) {
	isUpper := func(i int) bool { return i < len(line) && 'A' <= line[i] && line[i] <= 'Z' }
	isLower := func(i int) bool {
		return i < len(line) && ('a' <= line[i] && line[i] <= 'z' || '0' <= line[i] && line[i] <= '9')
	}
	begin := 0
	end := func(i int) {
		if i > begin {
			words = append(words, strings.ToLower(line[begin:i]))
		}
		begin = i
	}
	for i := range len(line) {
		switch {
		case line[i] == '_' || line[i] == ' ':
			end(i)
			begin = i + 1
		case !isUpper(i) && !isLower(i):
			end(i)
		case i > 0 && !isUpper(i-1) && !isLower(i-1):
			end(i)
		case isUpper(i) && i > 0 && (isLower(i-1) || isLower(i+1)):
			end(i)
		}
	}
	end(len(line))
	return words
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
	unwanted := newWordList([]string{"foo", "two words"})
	for line, want := range map[string]int{
		"// Foo, and two words.":    2,
		"func TestFooIsFound() {":   1,
		"const foo_bar = \"food\"":  1,
		"// foot, buffoon, two, wo": 0,
		"func TestAFooHTTPFoo() {":  2,
		"func TestAfoo() {":         0,
	} {
		if got := len(unwanted.find(line)); got != want {
			t.Errorf("in %q %d words are found, want %d", line, got, want)
		}
	}
}
