package registry

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestConfigShowsNoPassword(t *testing.T) {
	c := RedisRegistryConfig{
		RedisAddr:        "redis://:hunter2@a",
		Addrs:            []string{"redis://:hunter2@b", "c:6379"},
		Password:         "hunter2",
		SentinelPassword: "hunter2",
		Username:         "user",
		TLSConfig:        &tls.Config{ServerName: "hunter2"},
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("c", "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("c", "config", &c)
	all := log.String() + fmt.Sprintf("%v %+v %#v %s %v %+v", c, c, c, c, &c, struct{ C RedisRegistryConfig }{c})
	if strings.Contains(all, "hunter2") {
		t.Errorf("a password shows: %s", all)
	}
	for _, want := range []string{"Password=[set]", "c:6379", "Username=user"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing: %s", want, all)
		}
	}
}
