package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// A check does what a user does with a release, in empty folders.
type check struct {
	program string // path of a package to install; run with "version" it prints that
	source  string // folder with the source of a program that exits with 0
	imports []string
}

// run packs the tree as if it were tagged now, and does the check with it.
func (c check) run(ctx context.Context, t *tree, log io.Writer) (err error) {
	temp, err := os.MkdirTemp("", "release-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	g := goCommand{proxy: filepath.Join(temp, "proxy"), bin: filepath.Join(temp, "bin"), version: uniqueVersion()}
	packed, err := t.pack(g.version)
	if err != nil {
		return err
	}
	if err := writeProxy(g.proxy, g.version, packed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.forget(t)) }()

	// This downloads what other modules are needed, and checks them by go.sum.
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", t.root()+"/...")
	cmd.Dir = t.dir
	if _, err := output(cmd); err != nil {
		return err
	}
	if err := c.install(ctx, t, g, filepath.Join(temp, "install")); err != nil {
		return err
	}
	fmt.Fprintf(log, "ok    go install %s\n", c.program)
	if err := c.build(ctx, t, g, filepath.Join(temp, "program"), packed); err != nil {
		return err
	}
	for _, p := range packed {
		if err := resolve(ctx, t, g, p, filepath.Join(temp, "modules", path.Base(p.path))); err != nil {
			return fmt.Errorf("module %s as it would be published: %w", p.path, err)
		}
	}
	fmt.Fprintf(log, "ok    a program that imports %s\n", strings.Join(c.imports, ", "))
	return nil
}

// install installs the program, runs it, and compares the version that it prints.
func (c check) install(ctx context.Context, t *tree, g goCommand, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if _, err := g.run(ctx, t, dir, "install", c.program+"@"+g.version); err != nil {
		return err
	}
	installed := exec.CommandContext(ctx, filepath.Join(g.bin, filepath.Base(c.program)), "version")
	out, err := output(installed)
	if err != nil {
		return err
	}
	if !strings.Contains(out, g.version) {
		return fmt.Errorf("%s version prints %q, without the version %s", c.program, out, g.version)
	}
	return nil
}

// build adds the packages to a new module, builds the program there and runs it.
func (c check) build(ctx context.Context, t *tree, g goCommand, dir string, packed []packedModule) error {
	if err := os.CopyFS(dir, os.DirFS(c.source)); err != nil {
		return err
	}
	var sums strings.Builder
	for _, p := range packed {
		sums.Write(p.goSum)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), []byte(sums.String()), 0o644); err != nil {
		return err
	}
	get := []string{"get"}
	for _, path := range c.imports {
		get = append(get, path+"@"+g.version)
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/program"},
		get,
		{"build", "-o", filepath.Join(dir, "program"), "."},
	} {
		if _, err := g.run(ctx, t, dir, args...); err != nil {
			return err
		}
	}
	_, err := output(exec.CommandContext(ctx, filepath.Join(dir, "program")))
	return err
}

// resolve finds what each package of a module needs, with the module unpacked and its
// own go.mod and go.sum, whether or not the program uses that package.
func resolve(ctx context.Context, t *tree, g goCommand, p packedModule, dir string) error {
	id := module.Version{Path: p.path, Version: g.version}
	archive := dir + ".zip"
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(archive, p.zip, 0o644); err != nil {
		return err
	}
	if err := zip.Unzip(dir, id, archive); err != nil {
		return err
	}
	_, err := g.run(ctx, t, dir, "list", "-mod=readonly", "-deps", "./...")
	return err
}
