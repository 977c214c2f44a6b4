package health_test

import (
	"net"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Without Check, no process connects to what is registered.
func TestWithoutCheckNothingIsProbed(t *testing.T) {
	beats := make(chan struct{}, 100)
	backends := map[string]registry.Backend{
		"local": registry.NewLocalRegistry(),
		"redis": open(t, redistest.Start(t), registry.RedisRegistryConfig{
			TTL: time.Second, HeartbeatInterval: 20 * time.Millisecond,
			Observer: &registry.Observer{Heartbeat: func(int, time.Duration, error) {
				select {
				case beats <- struct{}{}:
				default:
				}
			}},
		}),
	}
	for name, b := range backends {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			for _, endpoint := range []string{"/health", "http://" + l.Addr().String() + "/health", "tcp:", "grpc:"} {
				must(t, b.Register(t.Context(), at(t, l.Addr().String(), endpoint)))
			}
			await(t, b, "all four", passing(4))
			if name == "redis" {
				for range 10 {
					select {
					case <-beats:
					case <-time.After(20 * time.Second):
						t.Fatal("no heartbeat within 20 s")
					}
				}
			}
			must(t, b.Close())
			// The first to be accepted is the first that came.
			own, err := net.Dial("tcp", l.Addr().String())
			must(t, err)
			defer own.Close()
			first, err := l.Accept()
			must(t, err)
			defer first.Close()
			if first.RemoteAddr().String() != own.LocalAddr().String() {
				t.Errorf("a connection came from %v", first.RemoteAddr())
			}
		})
	}
}
