package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
)

func TestDialNeedsAnAddress(t *testing.T) {
	for _, cfg := range []Config{{}, {Addr: "a:1", MasterName: "m"}} {
		if c, err := Dial(cfg); err == nil {
			_ = c.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestClientWithUserAndDatabase(t *testing.T) {
	s := redistest.Start(t, redistest.WithACLFile("user app on >hunter2 ~* +set +select +ping +client|setname\n"))
	cfg := Config{Addr: s.Addr(), Username: "app", Password: "hunter2", DB: 3}
	c := mustDial(t, cfg)
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	cfg.Password = "hunter3"
	err := mustDial(t, cfg).Ping(t.Context()).Err()
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("got %v, want WRONGPASS and no password", err)
	}
}

func TestClientWhileServerIsDown(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	defer verifyNoLeaks(t, goleak.IgnoreCurrent())
	c, err := Dial(Config{Addr: s.Addr(), timeouts: patient})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// More failures than the pool has places.
	var failing sync.WaitGroup
	for range 5 * poolSize {
		failing.Go(func() {
			err := c.Ping(t.Context()).Err()
			if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), s.Addr()) {
				t.Errorf("got %v, want a refused connection to %s", err, s.Addr())
			}
		})
	}
	failing.Wait()

	s.Restart()
	for range 2 * poolSize {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatalf("the server is back, but: %v", err)
		}
	}
	s.Restart()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a connection that was cut while idle was used: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if err := c.Ping(t.Context()).Err(); err == nil {
		t.Error("a closed client answered")
	}
}

func TestClientOfMuteServer(t *testing.T) {
	stall.Measure(t)
	defer verifyNoLeaks(t, goleak.IgnoreCurrent())
	c, err := Dial(Config{Addr: startSilentServer(t)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Error("a mute server answered")
	}
	requireWithin(t, began, defaultTimeouts.op/2, "a call with a deadline of 50ms")

	answered := make(chan error)
	go func() { answered <- c.Ping(context.WithoutCancel(ctx)).Err() }()
	began = time.Now()
	_ = c.Close()
	if err := <-answered; err == nil {
		t.Error("Close ended a call well")
	}
	requireWithin(t, began, defaultTimeouts.op/2, "Close of a client with a call")
}

// The application's go-redis logger writes to stderr by default. It
// is global, so what a Client puts there is watched from outside.
func TestClientIsQuiet(t *testing.T) {
	const child = "REDISCLIENT_QUIET_CHILD"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestClientIsQuiet$")
		cmd.Env = append(os.Environ(), child+"=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s%s", err, out, stderr.String())
		}
		if stderr.Len() > 0 {
			t.Errorf("stderr got:\n%s", stderr.String())
		}
		return
	}
	down := freeAddr(t)
	group := redistest.StartSentinels(t)
	for _, cfg := range []Config{
		{Addr: down},
		{Addr: startSilentServer(t), timeouts: timeouts{dial: patient.dial, op: 50 * time.Millisecond}},
		{Addrs: []string{down}},
		{Addrs: []string{down}, MasterName: group.MasterName()},
		{Addrs: append([]string{down}, group.SentinelAddrs()...), MasterName: group.MasterName()},
		{Addrs: group.SentinelAddrs(), MasterName: "other"},
		{Addr: group.Servers[0].Addr(), Credentials: noCredentials},
		{Addrs: group.SentinelAddrs(), MasterName: group.MasterName(), SentinelCredentials: noCredentials},
		{Addr: group.Servers[0].Addr(), TLS: &tls.Config{}, RefreshTLS: func(*tls.Config) error { return errors.New("no file") }},
	} {
		c := mustDial(t, cfg)
		sub := c.Subscribe(t.Context(), "x")
		for range 2 * poolSize {
			_ = c.Ping(t.Context()).Err()
		}
		_ = sub.Close()
		_ = c.Close()
	}
}

func noCredentials(context.Context) (username, password string, err error) {
	return "", "", errors.New("no credentials")
}

func TestCheckUsable(t *testing.T) {
	own := mustDial(t, Config{Addr: "localhost:1"})
	cluster := mustDial(t, Config{Addrs: []string{"localhost:1"}})
	plain := redis.NewClient(&redis.Options{})
	failover := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "m", SentinelAddrs: []string{"localhost:1"}})
	ring := redis.NewRing(&redis.RingOptions{})
	for _, c := range []io.Closer{plain, failover, ring} {
		defer c.Close()
	}
	replica := func(o redis.ClusterOptions) redis.UniversalClient { return redis.NewClusterClient(&o) }
	for _, c := range []struct {
		name   string
		client redis.UniversalClient
		ok     bool
	}{
		{"own", own, true},
		{"own cluster", cluster, true},
		{"plain", plain, true},
		{"failover", failover, true},
		{"cluster", redis.NewClusterClient(&redis.ClusterOptions{}), true},
		{"ReadOnly", replica(redis.ClusterOptions{ReadOnly: true}), false},
		{"RouteByLatency", replica(redis.ClusterOptions{RouteByLatency: true}), false},
		{"RouteRandomly", replica(redis.ClusterOptions{RouteRandomly: true}), false},
		{"ring", ring, false},
		{"nil", nil, false},
		{"nil client", (*redis.Client)(nil), false},
		{"nil cluster", (*redis.ClusterClient)(nil), false},
		{"nil own", (*Client)(nil), false},
	} {
		if err := CheckUsable(c.client); (err == nil) != c.ok {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	if !IsCluster(cluster) || !IsCluster(cluster.UniversalClient) || IsCluster(own) || IsCluster(plain) {
		t.Error("IsCluster errs")
	}
}

func TestDialErrorIsANetError(t *testing.T) {
	for _, c := range []struct {
		name    string
		cause   error
		timeout bool
	}{
		{"refused", &net.OpError{Op: "dial", Net: "tcp", Addr: failedAddr("a:1"), Err: syscall.ECONNREFUSED}, false},
		{"deadline", context.DeadlineExceeded, true},
		{"socket deadline", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, true},
		{"cancelled", context.Canceled, false},
		{"other", io.EOF, false},
	} {
		conn := newFailedConn("a:1", c.cause)
		_, err := conn.Write(nil)
		var op *net.OpError
		if !errors.As(errors.Unwrap(err), &op) || !strings.Contains(err.Error(), "a:1") {
			t.Errorf("%s: what go-redis unwraps is %v", c.name, errors.Unwrap(err))
		}
		var netErr net.Error
		if !errors.As(err, &netErr) || netErr.Timeout() != c.timeout {
			t.Errorf("%s: %v is no net.Error with Timeout %v", c.name, err, c.timeout)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v passes for the caller's deadline", c.name, err)
		}
		if !c.timeout && !errors.Is(err, c.cause) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v hides its cause", c.name, err)
		}
	}
}
