package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// checkTree does the check of the fixture's program and library.
func checkTree(t *testing.T, tr *tree) error {
	t.Helper()
	source := t.TempDir()
	writeFile(t, filepath.Join(source, "main.go"), userProgram)
	c := check{program: "example.com/m/cmd/tool", source: source, imports: []string{"example.com/m/lib"}}
	return c.run(testContext(t), tr, t.Output())
}

func TestCheckAcceptsAGoodTreeAndLeavesNothing(t *testing.T) {
	tr := newTree(t, nil)
	if err := checkTree(t, tr); err != nil {
		t.Fatal(err)
	}
	cache, err := goEnv("GOMODCACHE")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(cache, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			// Builds in the repository leave pseudo-versions of it.
			rel, _ := filepath.Rel(cache, name)
			if strings.Contains(rel, "check") {
				t.Errorf("the module cache still has %s", rel)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if status := mustGit(t, tr, "status", "--porcelain"); status != "" {
		t.Errorf("the check changed the tree:\n%s", status)
	}
}

// Each of these trees builds in its workspace, but not for users.
func TestCheckRefusesWhatOnlyWorksInTheRepository(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes map[string]string
		want    string
	}{
		{"embeds an ignored file", map[string]string{
			"ignored.txt":        "text",
			"lib/embed.go":       "package lib\n\nimport _ \"embed\"\n\n//go:embed ignored.txt\nvar text string\n",
			"lib/ignored.txt":    "text",
			".gitignore":         "ignored.txt\n",
			"internal/name/b.go": "package name\n",
		}, "pattern ignored.txt: no matching files"},
		{"imports an ignored package", map[string]string{
			"lib/gen/gen.go":    "package gen\n",
			".gitignore":        "/lib/gen/\n",
			"lib/import.go":     "package lib\n\nimport _ \"example.com/m/lib/gen\"\n",
			"lib/import_two.go": "package lib\n",
		}, "example.com/m/lib/gen"},
		{"a package that the program does not import embeds an ignored file", map[string]string{
			"other/embed.go":    "package other\n\nimport _ \"embed\"\n\n//go:embed ignored.txt\nvar text string\n",
			"other/ignored.txt": "text",
			".gitignore":        "ignored.txt\n",
		}, "pattern ignored.txt: no matching files"},
		{"replace", map[string]string{
			"cmd/go.mod": "module example.com/m/cmd\n\ngo 1.25.0\n\nrequire example.com/m v0.1.0\n\nreplace example.com/m => ../\n",
		}, "cmd/go.mod replaces example.com/m"},
		{"exclude", map[string]string{
			"go.mod": "module example.com/m\n\ngo 1.25.0\n\nexclude example.com/x v1.0.0\n",
		}, "go.mod excludes example.com/x"},
		{"an unpublished module", map[string]string{
			"cmd/go.mod": "module example.com/m/cmd\n\ngo 1.25.0\n\nrequire (\n\texample.com/m v0.1.0\n\texample.com/m/unpublished v0.0.0\n)\n",
		}, "example.com/m/unpublished, which is not published"},
		{"a requirement that is missing", map[string]string{
			"cmd/go.mod": "module example.com/m/cmd\n\ngo 1.25.0\n",
		}, "example.com/m/internal/name"},
		{"another version in the program", map[string]string{
			"cmd/tool/main.go": strings.Replace(versionProgram, "info.Main.Version", "info.GoVersion", 1),
		}, "without the version v0.0.0-check."},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkTree(t, newTree(t, c.changes))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the check ended with %v, want an error with %q", err, c.want)
			}
		})
	}
}
