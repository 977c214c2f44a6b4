package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestDefaults(t *testing.T) {
	c := RedisRegistryConfig{}.withDefaults()
	if c.RedisAddr != "localhost:6379" || c.TTL != 30*time.Second || c.HeartbeatInterval != 10*time.Second ||
		c.Namespace != "default" || c.Logger == nil || c.DB != 0 || len(c.Addrs) != 0 {
		t.Errorf("unexpected defaults: %v", c)
	}
	if err := c.validate(); err != nil {
		t.Error(err)
	}
	if w := c.warnings(); len(w) != 0 {
		t.Errorf("defaults warn: %q", w)
	}
}

func TestDefaultHeartbeat(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		9 * time.Second:        3 * time.Second,
		time.Minute:            10 * time.Second,
		100 * time.Millisecond: 100 * time.Millisecond / 3,
	} {
		c := RedisRegistryConfig{TTL: ttl}.withDefaults()
		if c.HeartbeatInterval != want {
			t.Errorf("TTL %v: heartbeat %v, want %v", ttl, c.HeartbeatInterval, want)
		}
		if err := c.validate(); err != nil {
			t.Error(err)
		}
		if w := c.warnings(); len(w) != 0 {
			t.Errorf("TTL %v: %q", ttl, w)
		}
	}
}

func TestFewBeatsWarn(t *testing.T) {
	c := RedisRegistryConfig{TTL: 30 * time.Second, HeartbeatInterval: 11 * time.Second}.withDefaults()
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	if w := c.warnings(); len(w) != 1 || !strings.Contains(w[0], "30s") {
		t.Errorf("got %q, want one warning", w)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	for _, c := range []struct {
		in    RedisRegistryConfig
		addr  string
		addrs []string
	}{
		{RedisRegistryConfig{RedisAddr: "redis"}, "redis:6379", nil},
		{RedisRegistryConfig{RedisAddr: ":7000"}, "localhost:7000", nil},
		{RedisRegistryConfig{RedisAddr: "::1"}, "[::1]:6379", nil},
		{RedisRegistryConfig{RedisAddr: "[::1]"}, "[::1]:6379", nil},
		{RedisRegistryConfig{RedisAddr: "[::1]:7"}, "[::1]:7", nil},
		{RedisRegistryConfig{Addrs: []string{"a"}}, "", []string{"a:6379"}},
		{RedisRegistryConfig{Addrs: []string{"a:1"}, RedisAddr: "b"}, "", []string{"a:1", "b:6379"}},
		{RedisRegistryConfig{Addrs: []string{"a", "b:1"}, MasterName: "m"}, "", []string{"a:26379", "b:1"}},
		{RedisRegistryConfig{Client: redis.NewClient(&redis.Options{})}, "", nil},
	} {
		got := c.in.withDefaults()
		if got.RedisAddr != c.addr || !slices.Equal(got.Addrs, c.addrs) {
			t.Errorf("%v: got %q and %q", c.in, got.RedisAddr, got.Addrs)
		}
		if err := got.validate(); err != nil {
			t.Error(err)
		}
		if cluster := len(c.addrs) > 0 && c.in.MasterName == ""; got.isCluster() != cluster {
			t.Errorf("%v: isCluster is %v", c.in, got.isCluster())
		}
	}
}

func TestValidateConfigNamesTheField(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for field, c := range map[string]RedisRegistryConfig{
		"TTL: 99ms":                              {TTL: 99 * time.Millisecond},
		"TTL: -1s":                               {TTL: -time.Second},
		"TTL: 24h0m1s":                           {TTL: MaxTTL + time.Second},
		"HeartbeatInterval: 9ms":                 {HeartbeatInterval: 9 * time.Millisecond},
		"HeartbeatInterval: -1s":                 {HeartbeatInterval: -time.Second},
		"HeartbeatInterval: 30s":                 {HeartbeatInterval: 30 * time.Second},
		"HeartbeatInterval: 2s":                  {HeartbeatInterval: 2 * time.Second, TTL: time.Second},
		"Namespace: has 129":                     {Namespace: strings.Repeat("n", 129)},
		"Namespace: has a control":               {Namespace: "a\n"},
		"DB: -1":                                 {DB: -1},
		"DB: is 1":                               {DB: 1, Addrs: []string{"a:1"}},
		"MasterName: needs":                      {MasterName: "m", RedisAddr: "a:1"},
		"MasterName: is empty":                   {SentinelPassword: "secret"},
		"MasterName: has":                        {MasterName: "m\n", Addrs: []string{"a"}},
		"Username: needs":                        {Username: "u"},
		"SentinelUsername: needs":                {SentinelUsername: "u", MasterName: "m", Addrs: []string{"a"}},
		"RedisAddr: must be host":                {RedisAddr: "a:b:c"},
		"RedisAddr: has a port":                  {RedisAddr: "a:70000"},
		"RedisAddr: must be host:port; use Open": {RedisAddr: "redis://:secret@a"},
		"Addrs[1]: has a port":                   {Addrs: []string{"a", "b:0"}},
		"Addrs[0]: must be":                      {Addrs: []string{""}},
		"RedisAddr: must be unset":               {Client: client, RedisAddr: "a"},
		"Addrs: must":                            {Client: client, Addrs: []string{"a"}},
		"MasterName: must":                       {Client: client, MasterName: "a"},
		"Username: must":                         {Client: client, Username: "a"},
		"Password: must":                         {Client: client, Password: "secret"},
		"SentinelUsername: must":                 {Client: client, SentinelUsername: "a"},
		"SentinelPassword: must":                 {Client: client, SentinelPassword: "secret"},
		"DB: must":                               {Client: client, DB: 1},
		"TLSConfig: must":                        {Client: client, TLSConfig: &tls.Config{}},
		"Credentials: must":                      {Client: client, Credentials: noCredentials},
		"Credentials: replaces Username":         {Credentials: noCredentials, Username: "u", Password: "secret"},
		"Credentials: replaces":                  {Credentials: noCredentials, Password: "secret"},
		"Client: it reads":                       {Client: redis.NewClusterClient(&redis.ClusterOptions{ReadOnly: true})},
		"Client: *redis.Ring":                    {Client: redis.NewRing(&redis.RingOptions{})},
	} {
		t.Run(field, func(t *testing.T) {
			err := c.withDefaults().validate()
			if !errors.Is(err, ErrInvalidConfig) {
				t.Fatalf("got %v, want an error that matches ErrInvalidConfig", err)
			}
			if want := "invalid configuration: " + field; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %q, want it to begin with %q", err, want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q shows a password", err)
			}
		})
		if ring, ok := c.Client.(*redis.Ring); ok {
			ring.Close()
		}
	}
}

func TestDefaultsShareNothing(t *testing.T) {
	in := RedisRegistryConfig{Addrs: []string{"a", "b"}, TLSConfig: &tls.Config{ServerName: "a"}}
	out := in.withDefaults()
	cfg := out.clientConfig()
	in.Addrs[0], in.TLSConfig.ServerName = "x", "x"
	out.Addrs[1] = "y"
	if out.Addrs[0] != "a:6379" || out.TLSConfig.ServerName != "a" || cfg.Addrs[1] != "b:6379" {
		t.Errorf("shared: %q %q %q", out.Addrs, out.TLSConfig.ServerName, cfg.Addrs)
	}
}

func TestConfigShowsNoPassword(t *testing.T) {
	c := RedisRegistryConfig{
		RedisAddr:        "redis://:hunter2@a",
		Addrs:            []string{"redis://:hunter2@b", "c:6379"},
		Password:         "hunter2",
		SentinelPassword: "hunter2",
		Username:         "user",
		Credentials:      noCredentials,
		TLSConfig:        &tls.Config{ServerName: "hunter2"},
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("c", "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("c", "config", &c)
	all := log.String() + fmt.Sprintf("%v %+v %#v %s %v %+v", c, c, c, c, &c, struct{ C RedisRegistryConfig }{c})
	if strings.Contains(all, "hunter2") {
		t.Errorf("a password shows: %s", all)
	}
	for _, want := range []string{"Password=[set]", "c:6379", "Username=user", "Credentials=[set]"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing: %s", want, all)
		}
	}
}

func noCredentials(context.Context) (username, password string, err error) { return "", "", nil }
