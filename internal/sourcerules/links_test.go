package sourcerules

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// markdownLink is a link to a file, and perhaps to a heading in it.
var markdownLink = regexp.MustCompile(`\]\(([^()\s#]*)(#[^()\s]*)?\)`)

// Links between the project's documents lead to files and headings that exist.
func TestDocumentLinksExist(t *testing.T) {
	for _, name := range sources(t, ".md") {
		for i, line := range readLines(t, filepath.Join(root, name)) {
			for _, m := range markdownLink.FindAllStringSubmatch(line, -1) {
				target, heading := m[1], strings.TrimPrefix(m[2], "#")
				if strings.Contains(target, "://") {
					continue
				}
				file := name
				if target != "" {
					file = path.Join(path.Dir(name), target)
				}
				if _, err := os.Stat(filepath.Join(root, file)); err != nil {
					t.Errorf("%s:%d: link to %s: %v", name, i+1, target, err)
				} else if heading != "" && !hasHeading(t, file, heading) {
					t.Errorf("%s:%d: %s has no heading #%s", name, i+1, file, heading)
				}
			}
		}
	}
}

// hasHeading reports whether a document has a heading with that anchor, as GitHub
// makes anchors.
func hasHeading(t *testing.T, file, anchor string) bool {
	t.Helper()
	for _, line := range readLines(t, filepath.Join(root, file)) {
		if text, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			text = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(text), "")
			if strings.ReplaceAll(text, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}
