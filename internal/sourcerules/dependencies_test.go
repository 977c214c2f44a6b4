package sourcerules

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A program that imports package registry depends on these modules. Each is a
// decision, so a change of the list must be made by hand.
func TestDependenciesOfTheLibrary(t *testing.T) {
	const golden = "testdata/registry.deps"
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/registry")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range strings.Fields(string(out)) {
		if m != module {
			got = append(got, m)
		}
	}
	slices.Sort(got)
	got = slices.Compact(got)
	if want := readLines(t, golden); !slices.Equal(got, want) {
		t.Errorf("package registry depends on\n%s\nbut %s says\n%s", strings.Join(got, "\n"), golden, strings.Join(want, "\n"))
	}
}
