package redisclient

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
)

func TestClientWithTLS(t *testing.T) {
	s := redistest.Start(t, redistest.WithTLS())
	defer verifyNoLeaks(t, goleak.IgnoreCurrent())
	c, err := Dial(Config{Addr: s.Addr(), TLS: s.ClientTLS(), timeouts: patient})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.PoolStats().Misses; n != 1 {
		t.Errorf("%d connections were made for three calls in turn", n)
	}
	s.Restart()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a connection that was cut while idle was used: %v", err)
	}
}

func TestClientDistrustsUnknownCertificate(t *testing.T) {
	s := redistest.Start(t, redistest.WithTLS())
	c := mustDial(t, Config{Addr: s.Addr(), TLS: &tls.Config{}})
	err := c.Ping(t.Context()).Err()
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate gave %v", err)
	}
}

func TestCloseEndsTLSHandshake(t *testing.T) {
	stall.Measure(t)
	defer verifyNoLeaks(t, goleak.IgnoreCurrent())
	c, err := Dial(Config{Addr: startSilentServer(t), TLS: &tls.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error)
	go func() { answered <- c.Ping(t.Context()).Err() }()
	began := time.Now()
	_ = c.Close()
	if err := <-answered; err == nil {
		t.Error("Close ended a handshake well")
	}
	requireWithin(t, began, defaultTimeouts.dial/2, "Close of a client with a handshake")
}
