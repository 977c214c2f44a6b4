package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// requirements returns the go.mod of a module with the other published modules
// required at the version, and which these are. It refuses what only works in the
// repository: "go install PROGRAM@VERSION" refuses modules with replace or exclude
// directives, and other programs ignore them.
func (t *tree) requirements(m publishedModule, version string) (goMod []byte, required []publishedModule, err error) {
	name := filepath.Join(t.dir, m.folder, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	file, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range file.Replace {
		return nil, nil, fmt.Errorf("%s replaces %s: remove the directive, because it has no effect for users; go.work replaces modules for development", name, r.Old.Path)
	}
	for _, e := range file.Exclude {
		return nil, nil, fmt.Errorf("%s excludes %s: remove the directive, because it has no effect for users", name, e.Mod.Path)
	}
	for _, r := range file.Require {
		other, ok := t.find(r.Mod.Path)
		switch {
		case ok:
			required = append(required, other)
		case strings.HasPrefix(r.Mod.Path, t.root()+"/"):
			return nil, nil, fmt.Errorf("%s requires %s, which is not published: go.work does not use it", name, r.Mod.Path)
		}
	}
	for _, other := range required {
		if err := file.AddRequire(other.path, version); err != nil {
			return nil, nil, err
		}
	}
	file.Cleanup()
	goMod, err = file.Format()
	return goMod, required, err
}

// ordered returns the published modules, each after those that it requires.
func (t *tree) ordered() ([]publishedModule, error) {
	var done []publishedModule
	var visit func(m publishedModule, above []publishedModule) error
	visit = func(m publishedModule, above []publishedModule) error {
		if slices.Contains(above, m) {
			return fmt.Errorf("module %s requires itself through %s", m.path, above[len(above)-1].path)
		}
		if slices.Contains(done, m) {
			return nil
		}
		_, required, err := t.requirements(m, placeholder)
		if err != nil {
			return err
		}
		for _, other := range required {
			if err := visit(other, append(above, m)); err != nil {
				return err
			}
		}
		done = append(done, m)
		return nil
	}
	for _, m := range t.modules {
		if err := visit(m, nil); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// placeholder stands for a version where only the names of the modules matter.
const placeholder = "v0.0.0"

// workFile returns the go.work of the tree with the published modules replaced at
// the version, the one that they require of each other.
func (t *tree) workFile(version string) ([]byte, error) {
	work, err := readWork(t.dir)
	if err != nil {
		return nil, err
	}
	for _, r := range work.Replace {
		if _, ok := t.find(r.Old.Path); ok {
			r.Old.Version = version
			r.Syntax.Token = replaceVersion(r.Syntax.Token, version)
		}
	}
	work.Cleanup()
	return modfile.Format(work.Syntax), nil
}

// replaceVersion returns the tokens of a replace directive, within a block or not,
// with another version of the replaced module.
func replaceVersion(tokens []string, version string) []string {
	tokens = slices.Clone(tokens)
	if arrow := slices.Index(tokens, "=>"); arrow > 1 {
		tokens[arrow-1] = version
	}
	return tokens
}

// withSums returns the go.sum of a module with the hashes of the published modules
// that it requires, and none of other versions of published modules.
func (t *tree) withSums(m publishedModule, hashes []string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(t.dir, m.folder, "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	lines := hashes
	for line := range strings.Lines(string(data)) {
		path, _, _ := strings.Cut(line, " ")
		if _, ok := t.find(path); !ok {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(lines) == 0 {
		return nil, nil
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}
