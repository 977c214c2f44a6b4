package main

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goodTree is a repository of two published modules, of which one requires the
// other, with a program.
var goodTree = map[string]string{
	".gitignore":   "/ignored.txt\n",
	"LICENSE":      "free\n",
	"CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n- A line.\n",
	"go.work": `go 1.25.0

use (
	.
	./cmd
)

replace (
	example.com/m v0.1.0 => .
	example.com/m/cmd v0.1.0 => ./cmd
)
`,
	"go.mod":               "module example.com/m\n\ngo 1.25.0\n",
	"lib/lib.go":           "package lib\n\nimport \"example.com/m/internal/name\"\n\nfunc Name() string { return name.Name }\n",
	"internal/name/a.go":   "package name\n\nconst Name = \"m\"\n",
	"cmd/go.mod":           "module example.com/m/cmd\n\ngo 1.25.0\n\nrequire example.com/m v0.1.0\n",
	"cmd/tool/main.go":     versionProgram,
	"unpublished/go.mod":   "module example.com/m/unpublished\n\ngo 1.25.0\n",
	"unpublished/x/x.go":   "package x\n",
	"cmd/testdata/go.mod/": "", // a folder of that name is no module
}

const versionProgram = `package main

import (
	"os"
	"runtime/debug"

	"example.com/m/internal/name"
)

func main() {
	info, _ := debug.ReadBuildInfo()
	os.Stdout.WriteString(name.Name + " " + info.Main.Version + "\n")
}
`

const userProgram = `package main

import "example.com/m/lib"

func main() {
	if lib.Name() != "m" {
		panic(lib.Name())
	}
}
`

// newTree writes the good tree with changes, commits it, and opens it. The go
// command uses a module cache of the test and no network.
func newTree(t *testing.T, changes map[string]string) *tree {
	t.Helper()
	t.Setenv("GOMODCACHE", filepath.Join(t.TempDir(), "modules"))
	t.Setenv("GOFLAGS", "-modcacherw")
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOWORK", "")
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "T")
		t.Setenv("GIT_"+who+"_EMAIL", "t@example.com")
	}
	dir := t.TempDir()
	files := maps.Clone(goodTree)
	maps.Copy(files, changes)
	for name, content := range files {
		if strings.HasSuffix(name, "/") {
			name += "empty"
		}
		writeFile(t, filepath.Join(dir, name), content)
	}
	tr, err := openTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}, {"commit", "--quiet", "-m", "Begin"}} {
		mustGit(t, tr, args...)
	}
	return tr
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, tr *tree, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(tr.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mustGit(t *testing.T, tr *tree, args ...string) string {
	t.Helper()
	out, err := tr.git(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mustGo runs the go command in a folder of the tree.
func mustGo(t *testing.T, tr *tree, folder string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join(tr.dir, folder)
	if _, err := output(cmd); err != nil {
		t.Fatal(err)
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
