package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// The ACL password and the client's certificate change under load, twice in the order
// of docs/operating.md, and once in the wrong order: the servers first. Each time the
// servers end all connections. On one server and on a Cluster the CA and the servers'
// certificates change too; Sentinels would have to be restarted for that.
//
// Promise 12: credentials that expire.
// Promise 3 and 7: no instance is lost, no watch goes empty.
func TestCredentialsRotate(t *testing.T) {
	t.Parallel()
	acl := redistest.WithACLFile("user app on >first " + appRights + " +cluster|slots +asking +command")
	for name, start := range map[string]func(testing.TB) *rotation{
		"one server": func(t testing.TB) *rotation {
			server := redistest.Start(t, redistest.WithClientCertificates(), acl)
			return newRotation(t, "rediss://app@"+server.Addr(), nil, server)
		},
		"Sentinels": func(t testing.TB) *rotation {
			group := redistest.StartSentinels(t, redistest.WithClientCertificates(), acl)
			addrs := group.SentinelAddrs()
			r := newRotation(t, "rediss+sentinel://app@"+addrs[0]+"/"+group.MasterName(), addrs[1:], group.Servers...)
			r.sentinels, r.sameCA = group.Sentinels, true
			return r
		},
		"Cluster": func(t testing.TB) *rotation {
			cluster := redistest.StartCluster(t, 3, 0, redistest.WithClientCertificates(), acl)
			addrs := cluster.Addrs()
			return newRotation(t, "rediss+cluster://app@"+addrs[0], addrs[1:], cluster.Nodes...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testRotation(t, start(t))
		})
	}
}

func testRotation(t *testing.T, r *rotation) {
	owner, reader, writer := r.open(t), r.open(t), r.open(t)
	register(t, owner, "web", "a1", "a2")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	load := startLoad(t, map[string]func(context.Context) error{
		"Discover": func(context.Context) error { return discoversExactly(reader, "web", want)() },
		"Register": func(ctx context.Context) error { return writer.Register(ctx, service("other", "o")) },
		"Deregister": func(ctx context.Context) error {
			return errors.Join(writer.Register(ctx, service("third", "t")), writer.Deregister(ctx, "t"))
		},
	})

	for range 2 {
		r.rotate(t)
		pause(t, shortHeartbeat, "load on the new connections")
	}
	for name, c := range load {
		made, failed, cause := c.report()
		if failed > 0 {
			t.Errorf("%s failed for %s in a rotation in the documented order: %v", name, round(failed), cause)
		}
		t.Logf("count: %s called %d times", name, made)
	}

	for _, c := range load {
		c.judgeStalled()
	}
	r.rotateServers(t)
	cut := time.Now()
	within(t, cut, backBy, "Discover fails", func() error {
		if load["Discover"].latest() == nil {
			return errors.New("it succeeds with the old password")
		}
		return nil
	})
	pause(t, time.Until(cut.Add(shortTTL/3)), "the servers refuse the old password and certificate")
	r.offer(t, r.ca)
	offered := time.Now()
	worst := within(t, offered, backBy, "all in Discover", discoversExactly(reader, "web", want))
	figure(t, "rotation, servers first ("+r.kind+"): all back", worst)
	for name, c := range load {
		within(t, offered, backBy, name+" succeeds", func() error { return c.succeededSince(offered) })
	}
	figure(t, "rotation, servers first ("+r.kind+"): watch current", seen.await(t, offered, 2*backBy, "a current state", is(want)))
	seen.requireKept(t, began, "a1", "a2")
	if lines := r.logs.lines("hunter"); len(lines) > 0 {
		t.Errorf("the log shows a password: %q", lines)
	}
	for _, c := range load {
		if _, _, cause := c.report(); cause != nil && strings.Contains(cause.Error(), "hunter") {
			t.Errorf("an error shows a password: %v", cause)
		}
	}
}

// rotation is a password and certificates that change: the servers that check them,
// and the files that a URL names.
type rotation struct {
	kind      string
	url       string
	dir       string // has a link "now" to the folder of the files
	servers   []*redistest.Server
	sentinels []*redistest.Server // without passwords
	sameCA    bool                // the CA does not change
	logs      logs
	password  string
	ca        *redistest.CA
}

func newRotation(t testing.TB, base string, more []string, servers ...*redistest.Server) *rotation {
	t.Helper()
	kind, _, _ := strings.Cut(base, "://")
	r := &rotation{kind: kind, dir: t.TempDir(), servers: servers, ca: servers[0].CA(), password: "first"}
	now := filepath.Join(r.dir, "now")
	r.url = base + "?" + url.Values{
		"addr": more, "ttl": {shortTTL.String()}, "heartbeat": {shortHeartbeat.String()}, "namespace": {t.Name()}, "server_name": {"localhost"},
		"password_file": {now + "/password"}, "ca_file": {now + "/ca"}, "cert_file": {now + "/cert"}, "key_file": {now + "/key"},
	}.Encode()
	r.offer(t, r.ca)
	return r
}

func (r *rotation) open(t testing.TB) *registry.RedisRegistry {
	t.Helper()
	cfg, err := registry.ParseURL(r.url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger = r.logs.logger()
	return open(t, cfg)
}

// offer has the files hold the present password, a new certificate of the present CA,
// and the CAs to trust. All change in one step.
func (r *rotation) offer(t testing.TB, trusted ...*redistest.CA) {
	t.Helper()
	var roots bytes.Buffer
	for _, ca := range trusted {
		roots.Write(ca.PEM())
	}
	cert, key := r.ca.Issue(t)
	folder, err := os.MkdirTemp(r.dir, "")
	must(t, err)
	for name, content := range map[string][]byte{"password": []byte(r.password + "\n"), "ca": roots.Bytes(), "cert": cert, "key": key} {
		must(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
	must(t, os.Symlink(folder, folder+".link"))
	must(t, os.Rename(folder+".link", filepath.Join(r.dir, "now")))
}

// rotate changes everything in the order of docs/operating.md.
func (r *rotation) rotate(t testing.TB) {
	t.Helper()
	oldPassword, oldCA, newCA := r.password, r.ca, r.nextCA(t)
	newPassword := "hunter" + rand.Text()
	r.acl(t, ">"+newPassword)
	r.setCAs(t, oldCA, newCA, oldCA)
	r.password = newPassword
	r.offer(t, oldCA, newCA) // with a certificate of the old CA
	r.setCAs(t, newCA, newCA, oldCA)
	r.ca = newCA
	r.offer(t, newCA)
	r.acl(t, "<"+oldPassword)
	r.setCAs(t, newCA, newCA)
	r.cutAll()
}

// rotateServers changes everything on the servers, and nothing in the files.
func (r *rotation) rotateServers(t testing.TB) {
	t.Helper()
	r.password, r.ca = "hunter"+rand.Text(), r.nextCA(t)
	r.acl(t, "resetpass", ">"+r.password)
	r.setCAs(t, r.ca, r.ca)
	r.cutAll()
}

func (r *rotation) nextCA(t testing.TB) *redistest.CA {
	t.Helper()
	if r.sameCA {
		return r.ca
	}
	return redistest.NewCA(t)
}

func (r *rotation) acl(t testing.TB, rules ...string) {
	t.Helper()
	for _, s := range r.servers {
		setUser(t, s.Client(t), strings.Join(rules, " "))
	}
}

func (r *rotation) setCAs(t testing.TB, issuer *redistest.CA, trusted ...*redistest.CA) {
	t.Helper()
	if r.sameCA {
		return
	}
	for _, s := range r.servers {
		s.SetCAs(issuer, trusted...)
	}
}

func (r *rotation) cutAll() {
	for _, s := range slices.Concat(r.servers, r.sentinels) {
		s.CutAll()
	}
}

// repeatedCall is a call that is made repeatedly. It notes for how long it failed.
type repeatedCall struct {
	mu     sync.Mutex
	judge  bool // also calls that a stalled machine may have made fail
	made   int
	failed time.Duration // the longest time of failures, without the machine's stall
	cause  error         // of that time
	last   error         // of the latest call
	begun  time.Time     // the latest call that succeeded
}

// startLoad repeats calls until the test ends.
func startLoad(t *testing.T, all map[string]func(context.Context) error) map[string]*repeatedCall {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	load := make(map[string]*repeatedCall)
	for name, call := range all {
		c := new(repeatedCall)
		load[name] = c
		running.Go(func() { c.repeat(ctx, t, call) })
	}
	return load
}

func (c *repeatedCall) repeat(ctx context.Context, t *testing.T, call func(context.Context) error) {
	var since time.Time // of the first of the failures up to now
	for ctx.Err() == nil {
		at := time.Now()
		err := call(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		if err != nil && !c.judge && stall.Since(t, at) >= shortHeartbeat/4 {
			c.mu.Unlock()
			continue
		}
		if err != nil && since.IsZero() {
			since = at
		}
		c.made++
		if c.last = err; err == nil {
			c.begun = at
		}
		if !since.IsZero() {
			if failed := time.Since(since) - stall.Since(t, since); failed > c.failed {
				c.failed = failed
				if err != nil {
					c.cause = err
				}
			}
		}
		c.mu.Unlock()
		if err == nil {
			since = time.Time{}
		}
		pause(t, 5*time.Millisecond, "between calls")
	}
}

// judgeStalled has calls count though the machine stalled while they were made.
func (c *repeatedCall) judgeStalled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judge = true
}

func (c *repeatedCall) latest() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *repeatedCall) succeededSince(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.Before(at) {
		return fmt.Errorf("no call that began since then has succeeded; the latest ended with %v", c.last)
	}
	return nil
}

func (c *repeatedCall) report() (made int, failed time.Duration, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made, c.failed, c.cause
}
