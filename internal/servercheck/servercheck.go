// Package servercheck finds out whether a server permits what a registry needs. Its
// requests change nothing but keys of their own, which it removes and which expire.
//
//	servercheck.go  the report, and the order of the checks
//	checks.go       one check each
//	commands.go     which commands the user has the right to
//	kind.go         what the server says it is
package servercheck

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Result is what a check found.
type Result string

const (
	// Passed: the server permits it.
	Passed Result = "ok"
	// Limited: a registry works, with a restriction that Detail names.
	Limited Result = "limited"
	// Failed: a registry does not work with this server or user.
	Failed Result = "failed"
	// Unknown: the server does not say.
	Unknown Result = "unknown"
)

// Finding is the result of one check.
type Finding struct {
	Check  string // what was checked, such as "scripts"
	Result Result
	Detail string // what was found; may be empty when Passed
	Remedy string // what to do about it; empty when there is nothing to do
}

// Report is what Run found.
type Report struct {
	Kind     string // such as "Redis" or "Valkey"; "" when the server does not say
	Version  string // "" when the server does not say
	Findings []Finding
}

// Failed reports whether a registry does not work with this server and user.
func (r Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Result == Failed {
			return true
		}
	}
	return false
}

// String has a line for each finding, and one more for a remedy.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, strings.TrimSpace(strings.Join([]string{"server:", r.Kind, r.Version}, " ")))
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-8s %s", f.Result, f.Check)
		if f.Detail != "" {
			fmt.Fprint(&b, ": ", f.Detail)
		}
		fmt.Fprintln(&b)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%-8s %s\n", "", f.Remedy)
		}
	}
	return b.String()
}

// checker is one run.
type checker struct {
	client redis.UniversalClient
	prefix string // of all keys and channels
	report Report
}

// Run checks the server of a client. All keys and channels begin with prefix, which
// must be that of a namespace ("rollcall:default:"), as the user may have no right to
// others. It returns an error when the server does not answer; what the server refuses
// is in the report.
func Run(ctx context.Context, client redis.UniversalClient, prefix string) (Report, error) {
	c := &checker{client: client, prefix: prefix + "check-" + rand.Text() + ":"}
	// A refusal is an answer.
	if err := client.Ping(ctx).Err(); err != nil && !isReply(err) {
		return Report{}, fmt.Errorf("check of the server: %w", err)
	}
	for _, check := range []func(context.Context) Finding{
		c.checkInfo, c.checkTime, c.checkScripts, c.checkTwoSlots, c.checkUndeclaredKeys, c.checkCommands, c.checkMessages, c.checkEviction,
	} {
		c.report.Findings = append(c.report.Findings, check(ctx))
		if err := ctx.Err(); err != nil {
			return c.report, fmt.Errorf("check of the server: %w", err)
		}
	}
	return c.report, nil
}

// key returns the name of a key in a slot.
func (c *checker) key(slot, name string) string { return c.prefix + "{" + slot + "}:" + name }
