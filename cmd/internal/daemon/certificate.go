package daemon

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// certificate is that of the listener. Its files are read again at intervals. While
// they cannot be read, the one that was read last is used. It is safe for concurrent
// use.
type certificate struct {
	cert, key string
	logger    *slog.Logger

	mu     sync.Mutex
	looked time.Time
	failed bool
	pair   *tls.Certificate
}

// certificateInterval is the least time between two reads of the files.
const certificateInterval = 10 * time.Second

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.pair = &pair
	}
	c.looked = time.Now()
	return err
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= certificateInterval {
		err := c.read()
		if err != nil && !c.failed {
			c.logger.Warn("the certificate could not be read again; the one that was read before is used", "file", c.cert, "error", err)
		}
		c.failed = err != nil
	}
	return c.pair, nil
}
