package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// A goCommand runs the go command as a user of the published modules would: with no
// workspace, and with a proxy on disk that has them before the configured proxies.
// It shares the module cache of the user, whose packages are compiled already, so
// the version must be one that no other process uses. Call forget at the end.
type goCommand struct {
	proxy   string // folder
	version string
	sums    bool   // check other modules with the checksum database
	bin     string // where "go install" puts programs
}

// uniqueVersion returns a version that no other process uses.
func uniqueVersion() string {
	return fmt.Sprintf("v0.0.0-check.%d.%d", os.Getpid(), time.Now().UnixNano())
}

// run runs the go command in a folder and returns what it prints.
func (g goCommand) run(ctx context.Context, t *tree, dir string, args ...string) (string, error) {
	configured, err := goEnv("GOPROXY")
	if err != nil {
		return "", err
	}
	proxy := "file://" + filepath.ToSlash(g.proxy)
	if configured != "" {
		proxy += "," + configured
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GOWORK=off", "GOPROXY="+proxy, "GONOPROXY=", "GOPRIVATE=",
		// A module cache that this can clean.
		"GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -modcacherw"))
	if g.bin != "" {
		cmd.Env = append(cmd.Env, "GOBIN="+g.bin)
	}
	if g.sums {
		unchecked, err := goEnv("GONOSUMDB")
		if err != nil {
			return "", err
		}
		cmd.Env = append(cmd.Env, "GONOSUMDB="+strings.Trim(t.root()+","+unchecked, ","))
	} else {
		// The modules were checked against the go.sum files of the repository.
		cmd.Env = append(cmd.Env, "GOSUMDB=off")
	}
	return output(cmd)
}

// forget removes the version of the published modules from the module cache.
func (g goCommand) forget(t *tree) error {
	cache, err := goEnv("GOMODCACHE")
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range t.modules {
		escaped, err := module.EscapePath(m.path)
		if err != nil {
			return err
		}
		errs = append(errs, os.RemoveAll(filepath.Join(cache, escaped+"@"+g.version)))
		versions := filepath.Join(cache, "cache", "download", escaped, "@v")
		files, err := filepath.Glob(filepath.Join(versions, g.version+".*"))
		errs = append(errs, err)
		for _, name := range files {
			errs = append(errs, os.Remove(name))
		}
		errs = append(errs, dropLine(filepath.Join(versions, "list"), g.version))
	}
	return errors.Join(errs...)
}

// dropLine removes a line from a file, if there is one, and an empty file.
func dropLine(name, drop string) error {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(data)) {
		if strings.TrimSpace(line) != drop {
			kept.WriteString(line)
		}
	}
	if kept.Len() == 0 {
		return os.Remove(name)
	}
	return os.WriteFile(name, []byte(kept.String()), 0o644)
}

func goEnv(name string) (string, error) {
	out, err := output(exec.Command("go", "env", name))
	return strings.TrimSpace(out), err
}
