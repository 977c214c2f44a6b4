package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// tidy runs "go mod tidy" in each published module. The go command cannot do that
// alone while what the modules require of each other is not published, because it
// ignores workspaces there.
func (t *tree) tidy(ctx context.Context) error {
	ordered, err := t.ordered()
	if err != nil {
		return err
	}
	for _, m := range ordered {
		if err := t.tidyModule(ctx, m); err != nil {
			return fmt.Errorf("tidy %s: %w", m.path, err)
		}
	}
	return nil
}

// tidyModule leaves the versions of the published modules as they are, and go.sum
// without them.
func (t *tree) tidyModule(ctx context.Context, m publishedModule) (err error) {
	proxy, err := os.MkdirTemp("", "release-tidy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(proxy)
	g := goCommand{proxy: proxy, version: uniqueVersion(), sums: true}
	packed, err := t.pack(g.version)
	if err != nil {
		return err
	}
	if err := writeProxy(proxy, g.version, packed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.forget(t)) }()

	dir := filepath.Join(t.dir, m.folder)
	name := filepath.Join(dir, "go.mod")
	before, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	goMod, _, err := t.requirements(m, g.version)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, goMod, 0o644); err != nil {
		return err
	}
	if _, err := g.run(ctx, t, dir, "mod", "tidy"); err != nil {
		return errors.Join(err, os.WriteFile(name, before, 0o644))
	}
	if err := t.restoreVersions(name, before); err != nil {
		return err
	}
	goSum, err := t.withSums(m, nil)
	if err != nil {
		return err
	}
	return writeOrRemove(filepath.Join(dir, "go.sum"), goSum)
}

// restoreVersions gives the published modules in a go.mod the versions of an earlier
// content, and those that are new in it the version of the others.
func (t *tree) restoreVersions(name string, before []byte) error {
	old, err := modfile.Parse(name, before, nil)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := modfile.Parse(name, data, nil)
	if err != nil {
		return err
	}
	version := placeholder
	for _, r := range old.Require {
		if _, ok := t.find(r.Mod.Path); ok {
			version = r.Mod.Version
		}
	}
	for _, r := range file.Require {
		if _, ok := t.find(r.Mod.Path); ok {
			if err := file.AddRequire(r.Mod.Path, version); err != nil {
				return err
			}
		}
	}
	file.Cleanup()
	data, err = file.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// writeOrRemove writes a file, or removes it if it would be empty.
func writeOrRemove(name string, data []byte) error {
	if len(data) > 0 {
		return os.WriteFile(name, data, 0o644)
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
