package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// vault is a source of credentials that change.
type vault struct {
	mu    sync.Mutex
	user  string
	pass  string
	err   error
	asked int
}

func (v *vault) set(user, pass string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.user, v.pass, v.err = user, pass, err
}

func (v *vault) ask(context.Context) (string, string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	return v.user, v.pass, v.err
}

func (v *vault) asks() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked
}

// setPassword gives the user app of each server that password only, and ends its connections.
func setPassword(t *testing.T, password string, servers ...*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		admin := s.Client(t)
		if err := admin.Do(t.Context(), "ACL", "SETUSER", "app", "reset", "on", ">"+password, "~*", "&*", "+@all").Err(); err != nil {
			t.Fatal(err)
		}
		if err := admin.Do(t.Context(), "CLIENT", "KILL", "USER", "app").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// In each mode, every new connection authenticates with the credentials of that moment.
func TestCredentialsOfEachConnection(t *testing.T) {
	for name, start := range map[string]func() (Config, []*redistest.Server){
		"server": func() (Config, []*redistest.Server) {
			s := redistest.Start(t)
			return Config{Addr: s.Addr(), DB: 2}, []*redistest.Server{s}
		},
		"Sentinels": func() (Config, []*redistest.Server) {
			group := redistest.StartSentinels(t)
			return Config{Addrs: group.SentinelAddrs(), MasterName: group.MasterName()}, group.Servers
		},
		"Cluster": func() (Config, []*redistest.Server) {
			cluster := redistest.StartCluster(t, 3, 0)
			return Config{Addrs: cluster.Addrs()[:1]}, cluster.Nodes
		},
	} {
		cfg, servers := start()
		source := &vault{}
		cfg.Credentials = source.ask
		cfg.Username, cfg.Password = "ignored", "ignored"
		c := mustDial(t, cfg)
		for _, password := range []string{"hunter1", "hunter2"} {
			source.set("app", password, nil)
			setPassword(t, password, servers...)
			for i := range 20 {
				if err := c.Set(t.Context(), fmt.Sprint("k", i), "v", 0).Err(); err != nil && !ConnectionLost(err) {
					t.Fatalf("%s: with %s: %v", name, password, err)
				}
			}
		}
		before := source.asks()
		for range 2 {
			if err := c.Set(t.Context(), "k1", "v", 0).Err(); err != nil || source.asks() != before {
				t.Errorf("%s: a call on an open connection asked for credentials, or failed: %v", name, err)
			}
		}
		setPassword(t, "hunter3", servers...)
		if err := c.Set(t.Context(), "k1", "v", 0).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: an old password gave %v", name, err)
		}
		source.set("app", "hunter3", errors.New("the vault is sealed"))
		if err := c.Set(t.Context(), "k1", "v", 0).Err(); err == nil || !strings.Contains(err.Error(), "the vault is sealed") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: a failing source gave %v", name, err)
		}
		source.set("app", "hunter3", nil)
		if err := c.Set(t.Context(), "k1", "v", 0).Err(); err != nil {
			t.Errorf("%s: with the source working again: %v", name, err)
		}
	}
}

func TestSentinelCredentialsOfEachConnection(t *testing.T) {
	group := redistest.StartSentinels(t)
	source := &vault{}
	c := mustDial(t, Config{Addrs: group.SentinelAddrs(), MasterName: group.MasterName(), SentinelCredentials: source.ask})
	for _, password := range []string{"hunter1", "hunter2"} {
		source.set("app", password, nil)
		setPassword(t, password, group.Sentinels...)
		for _, addr := range group.SentinelAddrs() {
			if _, err := c.sentinels.askSentinel(t.Context(), addr); err != nil {
				t.Fatalf("with %s: %v", password, err)
			}
		}
	}
	source.set("app", "hunter2", errors.New("the vault is sealed"))
	if _, err := c.sentinels.findPrimary(t.Context()); err == nil || !strings.Contains(err.Error(), "the vault is sealed") {
		t.Errorf("a failing source gave %v", err)
	}
}

// An error of the source must not pass for a reply of this Redis, nor for the end of
// the call's context.
func TestCredentialsErrors(t *testing.T) {
	s := redistest.Start(t)
	source := &vault{}
	c := mustDial(t, Config{Addr: s.Addr(), Credentials: source.ask})
	for _, cause := range []error{redis.Nil, context.DeadlineExceeded, context.Canceled, errors.New("other")} {
		source.set("", "", cause)
		err := c.Get(t.Context(), "k").Err()
		if err == nil || errors.Is(err, cause) || !strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("%v gave %v", cause, err)
		}
		sub := c.Subscribe(t.Context(), "news")
		if _, err := sub.Receive(t.Context()); err == nil || errors.Is(err, cause) || !strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("%v gave a subscription %v", cause, err)
		}
		_ = sub.Close()
	}
	source.set("app", "", nil)
	if err := c.Ping(t.Context()).Err(); !errors.Is(err, errNoPassword) {
		t.Errorf("a username alone gave %v", err)
	}
	source.set("", "", nil)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("no credentials gave %v", err)
	}
}

// A source that hangs delays a call for as long as a dial, and Close not at all.
func TestCredentialsThatHang(t *testing.T) {
	s := redistest.Start(t)
	hang := func(ctx context.Context) (string, string, error) { <-ctx.Done(); return "", "", ctx.Err() }
	c := mustDial(t, Config{Addr: s.Addr(), Credentials: hang, timeouts: defaultTimeouts})
	began := time.Now()
	if err := c.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("got %v", err)
	}
	requireWithin(t, began, defaultTimeouts.dial+defaultTimeouts.op/2, "a call whose credentials hang")

	answered := make(chan error)
	go func() { answered <- c.Ping(t.Context()).Err() }()
	began = time.Now()
	_ = c.Close()
	if err := <-answered; err == nil {
		t.Error("Close ended a call well")
	}
	requireWithin(t, began, defaultTimeouts.dial/2, "Close of a client whose credentials hang")
}

// Each connection has the TLS configuration of that moment, Sentinels' included.
func TestTLSConfigurationOfEachConnection(t *testing.T) {
	s := redistest.Start(t, redistest.WithTLS())
	trusted := s.ClientTLS()
	var mu sync.Mutex
	refresh := func(config *tls.Config) error { return errors.New("ca_file: gone") }
	c := mustDial(t, Config{Addr: s.Addr(), TLS: &tls.Config{MinVersion: tls.VersionTLS12}, RefreshTLS: func(config *tls.Config) error {
		mu.Lock()
		defer mu.Unlock()
		return refresh(config)
	}})
	if err := c.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "ca_file: gone") {
		t.Errorf("a failing refresh gave %v", err)
	}
	mu.Lock()
	refresh = func(config *tls.Config) error {
		if config.ServerName != "" || config.RootCAs != nil {
			t.Errorf("refreshed before: %+v", config)
		}
		config.RootCAs = trusted.RootCAs
		return nil
	}
	mu.Unlock()
	for range 2 {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		s.Restart()
	}
}
