package redisclient

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

func TestClientOfCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	defer verifyNoLeaks(t, goleak.IgnoreCurrent())
	c, err := Dial(Config{Addrs: []string{freeAddr(t), cluster.Addrs()[0]}, timeouts: patient})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 50 {
		if err := c.Set(t.Context(), fmt.Sprint("k", i), "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cluster.NodeOf("k1").Kill()
	err = c.Set(t.Context(), "k1", "v", 0).Err()
	var netErr net.Error
	if !errors.As(err, &netErr) && !strings.Contains(fmt.Sprint(err), "CLUSTERDOWN") {
		t.Errorf("a dead node gave %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
