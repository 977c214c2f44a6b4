// Package redistest runs real Redis servers for tests: single ones, replicas,
// Sentinels and Clusters, which can be killed, frozen, restarted and stepped in
// time. Every server listens on a free port of 127.0.0.1, keeps its files in a
// temporary directory of its own, ends with its test and is killed by the kernel
// if the test's process dies first. Package serverprogram says which program runs.
// Linux only.
//
// Methods that cannot do their work end the test as t.Fatal does, so call them
// from the test's own goroutine. They are otherwise safe for concurrent use.
package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/freeport"
	"github.com/rollcall-sd/rollcall/internal/serverprogram"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
	"github.com/rollcall-sd/rollcall/internal/stall"
)

const (
	// dirPattern marks the directory, and so the command line, of every server.
	dirPattern = "rollcall-redistest-"
	confFile   = "redis.conf"
	logFile    = "redis.log"
	aclFile    = "users.acl"

	startTimeout  = 20 * time.Second
	startAttempts = 5
	callTimeout   = 5 * time.Second
	poll          = 5 * time.Millisecond
)

// Server is one redis-server.
type Server struct {
	t       testing.TB
	opts    options
	dir     string
	port    int
	lock    io.Closer         // of the port
	proxy   *shardproxy.Proxy // nil without WithShardProxy
	tls     *tls.Config       // guarded by mu
	clock   *clock            // nil without WithFakeTime
	mu      sync.Mutex
	process *process
}

// Start runs a redis-server until the test ends and waits until it answers.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	s.attach(t)
	return s
}

// attach ends the server with the test and measures its stall from then on.
func (s *Server) attach(t testing.TB) {
	s.t = t
	stall.Measure(t, s.PID())
	t.Cleanup(func() {
		if err := s.current().crashed(); err != nil {
			t.Errorf("redis-server %s ended on its own: %v\n%s", s.Addr(), err, s.logTail())
		}
		s.close()
	})
}

// start runs a server that belongs to no test yet.
func start(opts ...Option) (*Server, error) {
	var err error
	for range startAttempts {
		var s *Server
		if s, err = startOnce(opts...); err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	return nil, err
}

var errPortTaken = errors.New("the port was taken in the meantime")

func startOnce(opts ...Option) (*Server, error) {
	s := &Server{}
	for _, opt := range opts {
		opt(&s.opts)
	}
	if err := s.prepare(); err != nil {
		s.close()
		return nil, err
	}
	if err := s.run(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// prepare takes a port and writes the server's files.
func (s *Server) prepare() (err error) {
	if s.dir, err = os.MkdirTemp("", dirPattern); err != nil {
		return err
	}
	if s.port, s.lock, err = freeport.Reserve(); err != nil {
		return err
	}
	if s.opts.shardProxy {
		if s.proxy, err = shardproxy.Start(s.ownAddr()); err != nil {
			return err
		}
	}
	if s.opts.tls {
		if s.opts.ca == nil {
			if s.opts.ca, err = newCA(); err != nil {
				return err
			}
		}
		if s.tls, err = s.writeCertificates(s.opts.ca, s.opts.ca); err != nil {
			return fmt.Errorf("making the server's certificate: %w", err)
		}
	}
	if s.opts.fakeTime {
		if s.clock, err = newClock(s.dir); err != nil {
			return err
		}
	}
	if s.opts.acl != "" {
		if err := s.write(aclFile, strings.TrimSpace(s.opts.acl)+"\n"); err != nil {
			return err
		}
	}
	return s.write(confFile, strings.Join(s.opts.lines(s.dir, s.port), "\n")+"\n")
}

func (s *Server) write(name, content string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600)
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	path, err := serverprogram.Path()
	if err != nil {
		return err
	}
	args := []string{filepath.Join(s.dir, confFile)}
	if s.opts.sentinel != nil {
		args = append(args, "--sentinel")
	}
	args = append(args, s.opts.args...)
	env := append(os.Environ(), "LC_ALL=C")
	if s.clock != nil {
		env = append(env, s.clock.env()...)
	}
	p, err := startProcess(path, args, env, filepath.Join(s.dir, logFile))
	if err != nil {
		return fmt.Errorf("starting %s: %w", path, err)
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	if err := s.waitReady(p); err != nil {
		p.kill()
		tail := s.logTail()
		if strings.Contains(tail, "Address already in use") {
			err = errors.Join(err, errPortTaken)
		}
		return fmt.Errorf("redis-server %s did not start: %w\n%s", s.Addr(), err, tail)
	}
	return nil
}

// waitReady waits until the server answers a PING, its data loaded.
func (s *Server) waitReady(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.waitListening(ctx, p); err != nil {
		return err
	}
	client := s.newClient()
	defer client.Close()
	return until(ctx, func() error {
		if err := p.crashed(); err != nil {
			return permanent{err}
		}
		return client.Ping(ctx).Err()
	})
}

// waitListening keeps failing dials out of go-redis, which retries them in a
// goroutine that outlives its client.
func (s *Server) waitListening(ctx context.Context, p *process) error {
	return until(ctx, func() error {
		if err := p.crashed(); err != nil {
			return permanent{err}
		}
		conn, err := net.DialTimeout("tcp", s.ownAddr(), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// close kills the server if it runs and removes what it left.
func (s *Server) close() {
	if p := s.current(); p != nil {
		p.kill()
	}
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
	_ = os.RemoveAll(s.dir)
}

func (s *Server) current() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Addr returns the server's host:port, or that of the proxy in front of it.
func (s *Server) Addr() string {
	if s.proxy != nil {
		return s.proxy.Addr()
	}
	return s.ownAddr()
}

func (s *Server) ownAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// ShardProxy returns the proxy in front of the server, or nil without WithShardProxy.
func (s *Server) ShardProxy() *shardproxy.Proxy { return s.proxy }

// URL returns the server's address as redis://[:password@]host:port/0, or rediss:// with TLS.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr(), Path: "/0"}
	if s.opts.tls {
		u.Scheme = "rediss"
	}
	if s.opts.password != "" {
		u.User = url.UserPassword("", s.opts.password)
	}
	return u.String()
}

// Dir returns the directory of the server's files, such as ca.pem of WithTLS.
func (s *Server) Dir() string { return s.dir }

// PID returns the id of the current process, for reading /proc.
func (s *Server) PID() int { return s.current().pid }

// ClientTLS returns a configuration that trusts the server's CA, or nil without WithTLS.
func (s *Server) ClientTLS() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tls.Clone()
}

// CA returns the authority with which a server WithTLS started.
func (s *Server) CA() *CA { return s.opts.ca }

// Kill ends the server by SIGKILL, frozen or not, and waits until it is gone.
func (s *Server) Kill() { s.current().kill() }

// Terminate asks the server to end (SIGTERM) and waits until it is gone.
func (s *Server) Terminate() {
	s.t.Helper()
	p := s.current()
	p.stop(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(startTimeout):
		s.t.Fatalf("redis-server %s did not end within %s of SIGTERM", s.Addr(), startTimeout)
	}
}

// Restart kills the server if it runs and starts a new process on the same port
// and files with the same options. What ConfigSet changed is forgotten, a
// replica's role that Sentinel rewrote is kept. Without WithAppendOnly the new
// process knows no data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
	stall.Measure(s.t, s.PID())
}

// Freeze stops the process (SIGSTOP): connections are accepted by the kernel
// and stay open, but nothing answers.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP, "T")
}

// Thaw lets a frozen server run on (SIGCONT).
func (s *Server) Thaw() {
	s.t.Helper()
	s.signal(syscall.SIGCONT, "RSD")
}

func (s *Server) signal(sig syscall.Signal, states string) {
	s.t.Helper()
	p := s.current()
	err := p.signal(sig)
	if err == nil {
		err = p.waitState(states)
	}
	if err != nil {
		s.t.Fatalf("sending %s to redis-server %s: %v", sig, s.Addr(), err)
	}
}

// logTail returns the end of the server's log.
func (s *Server) logTail() string {
	const lines = 25
	data, err := os.ReadFile(filepath.Join(s.dir, logFile))
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
