package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// prepare makes the commit and the tags of a release. It pushes nothing.
func (t *tree) prepare(version string, log io.Writer) error {
	if err := t.mayRelease(version); err != nil {
		return err
	}
	packed, err := t.pack(version)
	if err != nil {
		return err
	}
	work, err := t.workFile(version)
	if err != nil {
		return err
	}
	changed := map[string][]byte{"go.work": work}
	for _, p := range packed {
		changed[filepath.Join(p.folder, "go.mod")] = p.goMod
		if len(p.goSum) > 0 {
			changed[filepath.Join(p.folder, "go.sum")] = p.goSum
		}
	}
	add := []string{"add", "--"}
	for name, data := range changed {
		if err := os.WriteFile(filepath.Join(t.dir, name), data, 0o644); err != nil {
			return err
		}
		add = append(add, name)
	}
	if _, err := t.git(add...); err != nil {
		return err
	}
	// A release of the same requirements needs no commit.
	if _, err := t.git("diff", "--cached", "--quiet"); err != nil {
		if _, err := t.git("commit", "--quiet", "-m", "Release "+version); err != nil {
			return err
		}
	}
	var tags []string
	for _, m := range t.modules {
		if _, err := t.git("tag", "-a", "-m", m.path+" "+version, m.tag(version)); err != nil {
			return err
		}
		tags = append(tags, m.tag(version))
	}
	fmt.Fprintf(log, "Tagged %s. Nothing is pushed. To publish:\n\n\tgit push --atomic origin HEAD %s\n", strings.Join(tags, ", "), strings.Join(tags, " "))
	return nil
}

// mayRelease says why the tree cannot be released at the version, if so.
func (t *tree) mayRelease(version string) error {
	if version == "" || semver.Canonical(version) != version {
		return fmt.Errorf("version %q is not of the form v1.2.3", version)
	}
	for _, m := range t.modules {
		if err := module.Check(m.path, version); err != nil {
			return fmt.Errorf("a new major version needs new module paths: %w", err)
		}
	}
	status, err := t.git("status", "--porcelain")
	if err != nil {
		return err
	}
	if status != "" {
		return fmt.Errorf("the tree is not clean: commit or remove\n%s", status)
	}
	changelog, err := os.ReadFile(filepath.Join(t.dir, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	section := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(version[1:]) + `\] - \d{4}-\d\d-\d\d$`)
	if !section.Match(changelog) {
		return fmt.Errorf("CHANGELOG.md has no section %q: give the part [Unreleased] this title, and put an empty [Unreleased] above", "## ["+version[1:]+"] - YYYY-MM-DD")
	}
	var errs []error
	for _, m := range t.modules {
		out, err := t.git("tag", "--list", m.tag(version))
		if err != nil {
			return err
		}
		if out != "" {
			errs = append(errs, fmt.Errorf("tag %s exists already: choose another version, or remove the tag if it was never pushed", m.tag(version)))
		}
	}
	return errors.Join(errs...)
}
