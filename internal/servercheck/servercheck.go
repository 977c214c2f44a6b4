// Package servercheck finds out whether a server permits what a registry needs, and
// says what to change. Its requests change nothing but keys of their own, which it
// removes and which expire.
//
//	servercheck.go  the order of the checks
//	report.go       findings, and how they are printed
//	target.go       what is checked, by a registry's URL
//	parts.go        the servers behind the target
//	connection.go   connection, latency, clock
//	certificate.go  how long certificates are valid
//	info.go         what the server says of itself
//	scripts.go      scripts: whether they run, over which keys
//	writes.go       whether writes are accepted
//	rights.go       which commands, keys and channels the user has the right to
//	messages.go     whether published messages arrive
package servercheck

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// checker is one run.
type checker struct {
	Target
	cluster bool
	own     string // the prefix of the keys and channels of this run
	parts   []part
	scripts bool // they run
	report  Report
}

// Run checks a server. What the server refuses, and that it does not answer, is in the
// report. A check that ctx ends is in the report as unknown.
func Run(ctx context.Context, target Target) Report {
	c := &checker{Target: target, cluster: redisclient.IsCluster(target.Client)}
	c.own = c.Prefix + "check-" + rand.Text() + ":"
	if reachable := c.checkConnection(ctx); !reachable {
		return c.report
	}
	c.findParts(ctx)
	for _, check := range []struct {
		name string
		run  func(context.Context) Finding
	}{
		{"clock", c.checkClock},
		{"certificate", c.checkCertificate},
		{"INFO", c.checkInfo},
		{"version", c.checkVersion},
		{"role", c.checkRole},
		{"slots", c.checkSlots},
		{"scripts", c.checkScripts},
		{"scripts over two slots", c.checkTwoSlots},
		{"scripts with undeclared keys", c.checkUndeclaredKeys},
		{"SCRIPT LOAD", c.checkScriptLoad},
		{"writes", c.checkWrites},
		{"rights", c.checkRights},
		{"commands", c.checkCommands},
		{"messages", c.checkMessages},
		{"eviction", c.checkEviction},
		{"memory", c.checkMemory},
		{"persistence", c.checkPersistence},
		{"replicas", c.checkReplicas},
	} {
		if err := ctx.Err(); err != nil {
			c.add(unknown(check.name, "not checked: "+err.Error()))
			continue
		}
		f := check.run(ctx)
		f.Check = check.name
		c.add(f)
	}
	return c.report
}

func (c *checker) add(f Finding) { c.report.Findings = append(c.report.Findings, f) }

// key returns the name of a key in a slot.
func (c *checker) key(tag, name string) string { return c.own + "{" + tag + "}:" + name }

// isReply reports whether an error is the server's reply.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
