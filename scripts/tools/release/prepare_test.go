package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrepareTagsEveryModule(t *testing.T) {
	tr := newTree(t, nil)
	var log strings.Builder
	if err := tr.prepare("v0.2.0", &log); err != nil {
		t.Fatal(err)
	}
	if got, want := mustGit(t, tr, "tag", "--points-at", "HEAD"), "cmd/v0.2.0\nv0.2.0\n"; got != want {
		t.Errorf("tags of the commit are %q, want %q", got, want)
	}
	if got := mustGit(t, tr, "log", "-1", "--format=%s"); got != "Release v0.2.0\n" {
		t.Errorf("the commit is %q", got)
	}
	if status := mustGit(t, tr, "status", "--porcelain"); status != "" {
		t.Errorf("uncommitted changes remain:\n%s", status)
	}
	for name, want := range map[string]string{
		"cmd/go.mod": "require example.com/m v0.2.0\n",
		"go.work":    "example.com/m v0.2.0 => .\n\texample.com/m/cmd v0.2.0 => ./cmd\n",
		"cmd/go.sum": "example.com/m v0.2.0/go.mod h1:",
	} {
		if got := readFile(t, tr, name); !strings.Contains(got, want) {
			t.Errorf("%s is\n%s\nwithout %q", name, got, want)
		}
	}
	if !strings.Contains(log.String(), "git push --atomic origin HEAD v0.2.0 cmd/v0.2.0") {
		t.Errorf("prepare says %q, not how to publish", log.String())
	}
	mustGo(t, tr, "cmd", "build", "-o", os.DevNull, "./...") // still works as a workspace
}

// The sums in go.sum are those of the modules that the tags publish.
func TestPreparedModulesBuildAlone(t *testing.T) {
	tr := newTree(t, nil)
	if err := tr.prepare("v0.2.0", t.Output()); err != nil {
		t.Fatal(err)
	}
	packed, err := tr.pack("v0.2.0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	if err := writeProxy(proxy, "v0.2.0", packed); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(proxy))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOWORK", "off")
	mustGo(t, tr, "cmd", "build", "-o", os.DevNull, "./...")
}

func TestPrepareRefuses(t *testing.T) {
	for _, c := range []struct {
		name, version string
		spoil         func(t *testing.T, tr *tree)
		want          string
	}{
		{"no version", "", nil, "not of the form v1.2.3"},
		{"half a version", "v0.2", nil, "not of the form v1.2.3"},
		{"a version without v", "0.2.0", nil, "not of the form v1.2.3"},
		{"another major version", "v2.0.0", nil, "new major version"},
		{"no section in the changelog", "v0.3.0", nil, "## [0.3.0] - YYYY-MM-DD"},
		{"a file that is not committed", "v0.2.0", func(t *testing.T, tr *tree) {
			writeFile(t, filepath.Join(tr.dir, "new.go"), "package m\n")
		}, "not clean"},
		{"a tag that exists", "v0.2.0", func(t *testing.T, tr *tree) {
			mustGit(t, tr, "tag", "cmd/v0.2.0")
		}, "tag cmd/v0.2.0 exists"},
		{"a replace directive", "v0.2.0", func(t *testing.T, tr *tree) {
			writeFile(t, filepath.Join(tr.dir, "cmd/go.mod"), goodTree["cmd/go.mod"]+"\nreplace example.com/m => ../\n")
			mustGit(t, tr, "commit", "--quiet", "--all", "-m", "Replace")
		}, "cmd/go.mod replaces example.com/m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTree(t, nil)
			if c.spoil != nil {
				c.spoil(t, tr)
			}
			before := mustGit(t, tr, "tag") + mustGit(t, tr, "rev-parse", "HEAD") + mustGit(t, tr, "status", "--porcelain")
			err := tr.prepare(c.version, t.Output())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("prepare ended with %v, want an error with %q", err, c.want)
			}
			after := mustGit(t, tr, "tag") + mustGit(t, tr, "rev-parse", "HEAD") + mustGit(t, tr, "status", "--porcelain")
			if before != after {
				t.Errorf("the repository changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestTidyAddsPublishedModules(t *testing.T) {
	tr := newTree(t, map[string]string{
		"cmd/go.mod":  "module example.com/m/cmd\n\ngo 1.25.0\n",
		"tool/go.mod": "module example.com/m/tool\n\ngo 1.25.0\n\nrequire (\n\texample.com/m v0.1.0\n\texample.com/m/cmd v0.1.0 // indirect\n)\n",
		"tool/a.go":   "package tool\n\nimport _ \"example.com/m/lib\"\n",
		"go.work":     strings.Replace(goodTree["go.work"], "\t./cmd\n", "\t./cmd\n\t./tool\n", 1),
	})
	if err := tr.tidy(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, tr, "cmd/go.mod"); !strings.Contains(got, "require example.com/m v") {
		t.Errorf("cmd/go.mod does not require the module that it imports:\n%s", got)
	}
	if got := readFile(t, tr, "tool/go.mod"); !strings.Contains(got, "require example.com/m v0.1.0\n") || strings.Contains(got, "cmd") {
		t.Errorf("tool/go.mod does not require example.com/m v0.1.0 alone:\n%s", got)
	}
	if status := mustGit(t, tr, "status", "--porcelain"); strings.Contains(status, "go.sum") {
		t.Errorf("sums of unpublished versions remain:\n%s", status)
	}
}
