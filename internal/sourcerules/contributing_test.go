package sourcerules

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// CONTRIBUTING.md says which folders have tests that start Redis.
func TestContributingNamesTheTestsThatStartRedis(t *testing.T) {
	const (
		file  = "CONTRIBUTING.md"
		begin = "Tests that start Redis are in "
		redis = "internal/redistest"
	)
	folders := []string{redis}
	for _, f := range goFiles(t) {
		if f.test && slices.Contains(f.imports, module+"/"+redis) {
			folders = append(folders, f.dir)
		}
	}
	slices.Sort(folders)
	folders = slices.Compact(folders)

	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	_, sentence, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s does not say %q", file, begin)
	}
	sentence, _, _ = strings.Cut(sentence, ".")
	var named []string
	for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(sentence, -1) {
		named = append(named, quoted[1])
	}
	slices.Sort(named)
	if !slices.Equal(named, folders) {
		t.Errorf("%s names\n%s\nbut these folders have tests that start Redis:\n%s", file, strings.Join(named, "\n"), strings.Join(folders, "\n"))
	}
}
