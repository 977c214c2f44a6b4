package sourcerules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rollcall-sd/rollcall"

// root is the repository's, seen from this folder, in which tests run.
const root = "../.."

// goFile is one parsed file; dir is its folder relative to the root, "." for the root.
type goFile struct {
	path, dir string
	test      bool
	imports   []string
	syntax    *ast.File
	positions *token.FileSet
}

// sources returns the path, relative to the root, of every file of the
// repository with that ending.
func sources(t *testing.T, ending string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if rel != "." && strings.HasPrefix(base, ".") || rel == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(base, ending) {
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	for _, name := range sources(t, ".go") {
		positions := token.NewFileSet()
		syntax, err := parser.ParseFile(positions, filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		f := goFile{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), syntax: syntax, positions: positions}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		t.Fatalf("no Go files found under %s", root)
	}
	return files
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// under reports whether a folder or import path is one of these or below it.
func under(name string, tops ...string) bool {
	for _, top := range tops {
		if name == top || strings.HasPrefix(name, top+"/") {
			return true
		}
	}
	return false
}
