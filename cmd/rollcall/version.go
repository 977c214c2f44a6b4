package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCommand prints the version, the commit and the version of Go.
func versionCommand(_ context.Context, args []string, std streams) error {
	flags := flag.NewFlagSet("version", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprintln(flags.Output(), "Usage: rollcall version") }
	if err := parse(flags, args, std); err != nil {
		return err
	}
	version, commit := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(std.out, "rollcall %s%s %s %s/%s\n",
		version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
