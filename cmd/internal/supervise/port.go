package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	// dialTimeout bounds one connection to the command's port.
	dialTimeout = time.Second
	// maxDialPause is the greatest pause between two tries.
	maxDialPause = 100 * time.Millisecond
)

// loopback are this machine's own addresses, on which a command may listen alone.
var loopback = []string{"127.0.0.1", "::1"}

// freePort returns a port that no process listens on. Another process can take it
// before the command does.
func freePort() (int, error) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// portProbe finds out where the command answers.
type portProbe struct {
	given      string // the address to register; empty: where the command answers
	advertised string // this machine's address
	port       int
}

func newPortProbe(address string, port int) (portProbe, error) {
	advertised, _, err := registry.AdvertiseAddr(&net.TCPAddr{Port: port})
	return portProbe{address, advertised, port}, err
}

// inUse returns an error if a process answers on the port already: it would be
// taken for the command.
func (p portProbe) inUse(ctx context.Context) error {
	if address := p.answering(ctx); address != "" {
		return fmt.Errorf("another process answers on %s already", net.JoinHostPort(address, strconv.Itoa(p.port)))
	}
	return nil
}

// await waits until the port answers and returns the address to register.
func (p portProbe) await(ctx context.Context, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errNoAnswer)
	defer cancel()
	for {
		if address := p.answering(ctx); address != "" {
			if p.given != "" {
				return p.given, nil
			}
			return address, nil
		}
		pause := time.NewTimer(maxDialPause/2 + rand.N(maxDialPause/2))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if errors.Is(context.Cause(ctx), errNoAnswer) {
				return "", fmt.Errorf("port %d has not answered within %v (--start-timeout)", p.port, timeout)
			}
			return "", ctx.Err()
		}
	}
}

var errNoAnswer = errors.New("no answer")

// answering returns the first address on which the port answers, or "".
func (p portProbe) answering(ctx context.Context) string {
	for _, address := range []string{p.given, p.advertised} {
		if address != "" && p.dial(ctx, address) {
			return address
		}
	}
	for _, address := range loopback {
		if !p.dial(ctx, address) {
			continue
		}
		// The command may have begun to listen on all addresses in between.
		if p.dial(ctx, p.advertised) {
			return p.advertised
		}
		return address
	}
	return ""
}

func (p portProbe) dial(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: dialTimeout}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(p.port)))
	if err != nil {
		return false
	}
	_ = connection.Close() // the answer is what counts
	return true
}
