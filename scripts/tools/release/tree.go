package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// A tree is a checkout of the repository. Its go.work lists the modules that a
// release tags; other modules of the repository are not published.
type tree struct {
	dir     string
	modules []publishedModule // the module of the root folder first
}

type publishedModule struct {
	path   string // import path
	folder string // slash-separated, within the repository; "." for its root
}

// tag returns the tag that publishes the version of the module.
func (m publishedModule) tag(version string) string {
	return path.Join(m.folder, version)
}

func openTree(dir string) (*tree, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	work, err := readWork(dir)
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir}
	for _, use := range work.Use {
		folder := path.Clean(use.Path)
		name := filepath.Join(dir, folder, "go.mod")
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m := publishedModule{path: modfile.ModulePath(data), folder: folder}
		if m.path == "" {
			return nil, fmt.Errorf("%s names no module", name)
		}
		if folder == "." {
			t.modules = append([]publishedModule{m}, t.modules...)
		} else {
			t.modules = append(t.modules, m)
		}
	}
	if len(t.modules) == 0 || t.modules[0].folder != "." {
		return nil, fmt.Errorf("%s does not use the module of its own folder", filepath.Join(dir, "go.work"))
	}
	return t, nil
}

func readWork(dir string) (*modfile.WorkFile, error) {
	name := filepath.Join(dir, "go.work")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return modfile.ParseWork(name, data, nil)
}

// root returns the path of the module in the root folder.
func (t *tree) root() string { return t.modules[0].path }

// find returns the published module with an import path.
func (t *tree) find(path string) (publishedModule, bool) {
	for _, m := range t.modules {
		if m.path == path {
			return m, true
		}
	}
	return publishedModule{}, false
}

// files lists the files that a commit of everything would hold, slash-separated.
// Without Git, as in an unpacked archive, these are all but hidden and built ones.
func (t *tree) files() ([]string, error) {
	if _, err := os.Lstat(filepath.Join(t.dir, ".git")); err != nil {
		return t.walk()
	}
	out, err := t.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(out, "\x00"), "\x00") {
		// A file that was deleted but is in the index is gone with the next commit.
		if _, err := os.Lstat(filepath.Join(t.dir, name)); err == nil {
			files = append(files, name)
		}
	}
	return files, nil
}

func (t *tree) walk() (files []string, err error) {
	err = fs.WalkDir(os.DirFS(t.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			files = append(files, name)
		case name != "." && strings.HasPrefix(entry.Name(), "."), name == "bin", name == "dist":
			return fs.SkipDir
		}
		return nil
	})
	return files, err
}

// git runs Git in the tree, also if its folder has another owner, and returns what
// it prints.
func (t *tree) git(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-c", "safe.directory=" + t.dir}, args...)...)
	cmd.Dir = t.dir
	return output(cmd)
}

// output runs a command and returns its standard output. An error has what the
// command said.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return stdout.String(), nil
}
