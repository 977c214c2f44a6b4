package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker in released programs (scripts/dist).
var version string

// versionJSON says which build of the program runs.
type versionJSON struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // empty if the build does not know it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func programVersion() versionJSON {
	v := versionJSON{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	if version != "" {
		v.Version = version
	}
	return v
}

func (v versionJSON) String() string {
	commit := ""
	if v.Commit != "" {
		commit = " " + v.Commit
	}
	return fmt.Sprintf("rollcall %s%s %s %s", v.Version, commit, v.Go, v.Platform)
}

// versionCommand prints the version, the commit and the version of Go.
func versionCommand(std streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version of the program, the commit it was built from, the version of Go and the platform.",
		Args:  arguments(),
		RunE: func(*cobra.Command, []string) error {
			return writeVersion(std, asJSON)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addJSONFlag(c, &asJSON)
	return c
}

func writeVersion(std streams, asJSON bool) error {
	if asJSON {
		return writeJSON(std.out, programVersion())
	}
	_, err := fmt.Fprintln(std.out, programVersion())
	return err
}
