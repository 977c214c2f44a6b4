package redisclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

const (
	sentinelHedge = 150 * time.Millisecond // silence after which the next Sentinel is asked too
	sentinelPing  = 5 * time.Second        // silence of a subscription after which it is pinged, then given up
	sentinelRetry = 500 * time.Millisecond // longest pause before another subscription
)

// sentinels finds the primary: it asks the Sentinels before each new connection,
// and subscribes to their messages about failovers.
//
// It stands in for redis.NewFailoverClient, which logs each discovery, keeps
// the connections of Sentinels that answered second, leaves subscriptions on
// the old primary and has the fault that dialer avoids.
type sentinels struct {
	cfg    Config
	dialer *dialer

	ctx    context.Context // ends with the client
	cancel context.CancelFunc
	done   chan struct{} // closed when subscribeLoop has returned

	mu    sync.Mutex
	addrs []string // those that answered last come first; grows as others are discovered
}

// startSentinels starts the one goroutine that subscribes to failovers; stop ends it.
func startSentinels(cfg Config, d *dialer) *sentinels {
	s := &sentinels{cfg: cfg, dialer: d, addrs: slices.Clone(cfg.Addrs), done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.subscribeLoop()
	return s
}

// stop ends the queries and the subscription; wait waits for its goroutine.
func (s *sentinels) stop() { s.cancel() }
func (s *sentinels) wait() { <-s.done }

// dialPrimary is the dialFunc of a client that talks to the primary.
func (s *sentinels) dialPrimary(ctx context.Context, _, _ string) (net.Conn, error) {
	name := "primary of " + s.cfg.MasterName
	if !s.dialer.startDial() {
		return newFailedConn(name, net.ErrClosed), nil
	}
	defer s.dialer.dials.Done()
	asked := s.dialer.primaryVersion()
	addr, err := s.findPrimary(ctx)
	if err != nil {
		return newFailedConn(name, err), nil
	}
	addr, _ = s.dialer.setPrimary(addr, asked)
	conn, err := s.dialer.connect(ctx, addr, toPrimary)
	if err != nil {
		return newFailedConn(addr, err), nil
	}
	return conn, nil
}

func (s *sentinels) check(ctx context.Context) (moved bool, err error) {
	asked := s.dialer.primaryVersion()
	addr, err := s.findPrimary(ctx)
	if err != nil {
		return false, err
	}
	_, moved = s.dialer.setPrimary(addr, asked)
	// The first answer of all is no move.
	return moved && asked > 0, nil
}

// findPrimary returns the first answer to who the primary is. It asks the Sentinels
// one after the other, the next one when one failed or was silent for sentinelHedge.
func (s *sentinels) findPrimary(caller context.Context) (primary string, err error) {
	type answer struct {
		sentinel, primary string
		err               error
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(caller, s.dialer.timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	left := s.inOrder()
	answers := make(chan answer, len(left))
	pending := 0
	askNext := func() {
		if len(left) == 0 {
			return
		}
		sentinel := left[0]
		left = left[1:]
		pending++
		asking.Go(func() {
			primary, err := s.askSentinel(ctx, sentinel)
			answers <- answer{sentinel, primary, err}
		})
	}

	askNext()
	hedge := time.NewTicker(sentinelHedge)
	defer hedge.Stop()
	var failures []string
	for pending > 0 {
		select {
		case a := <-answers:
			pending--
			if a.err == nil {
				s.prefer(a.sentinel)
				return a.primary, nil
			}
			failures = append(failures, fmt.Sprintf("%s: %v", a.sentinel, a.err))
			askNext()
		case <-hedge.C:
			askNext()
		}
	}
	if caller.Err() != nil {
		return "", caller.Err()
	}
	// Not wrapped: go-redis would take a Sentinel's reply for the primary's.
	return "", fmt.Errorf("no Sentinel named the primary of %q (%s)", s.cfg.MasterName, strings.Join(failures, "; "))
}

func (s *sentinels) askSentinel(ctx context.Context, sentinel string) (primary string, err error) {
	client := s.client(sentinel)
	defer client.Close()
	// go-redis obeys a deadline, but a cancel only once its socket is closed.
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	addr, err := client.GetMasterAddrByName(ctx, s.cfg.MasterName).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return "", fmt.Errorf("does not know a primary named %q", s.cfg.MasterName)
	case err != nil:
		return "", err
	case len(addr) != 2:
		return "", fmt.Errorf("gave %d words for an address", len(addr))
	}
	return net.JoinHostPort(addr[0], addr[1]), nil
}

func (s *sentinels) client(addr string) *redis.SentinelClient {
	options := nodeOptions(Config{
		Addr:        addr,
		Username:    s.cfg.SentinelUsername,
		Password:    s.cfg.SentinelPassword,
		Credentials: s.cfg.SentinelCredentials,
		timeouts:    s.cfg.timeouts,
	}, s.dialer.dial)
	options.PoolSize = 1
	return redis.NewSentinelClient(options)
}

// subscribeLoop subscribes to one Sentinel after the other until the client closes.
func (s *sentinels) subscribeLoop() {
	defer close(s.done)
	for {
		sentinel := s.inOrder()[0]
		s.receiveSwitches(sentinel)
		s.putLast(sentinel)
		if backoff.Sleep(s.ctx, backoff.Jitter(sentinelRetry, 0.5)) != nil {
			return
		}
	}
}

// receiveSwitches handles a Sentinel's messages about failovers until the
// connection fails or falls silent.
func (s *sentinels) receiveSwitches(sentinel string) {
	client := s.client(sentinel)
	defer client.Close()
	sub := client.Subscribe(s.ctx, "+switch-master")
	defer sub.Close()
	for pinged := false; ; {
		message, err := sub.ReceiveTimeout(s.ctx, sentinelPing)
		var silence net.Error
		switch {
		case s.ctx.Err() != nil:
			return
		case errors.As(err, &silence) && silence.Timeout() && !pinged:
			pinged = true
			if sub.Ping(s.ctx) != nil {
				return
			}
			continue
		case err != nil:
			return
		}
		pinged = false
		switch m := message.(type) {
		case *redis.Subscription:
			// A switch before this moment was not received.
			s.discoverOthers(client)
			_, _ = s.check(s.ctx)
		case *redis.Message:
			// The other Sentinels may not know yet, so this one is asked first.
			s.prefer(sentinel)
			s.handleSwitch(m.Payload)
		}
	}
}

// handleSwitch takes "<name> <old host> <old port> <new host> <new port>".
func (s *sentinels) handleSwitch(payload string) {
	words := strings.Fields(payload)
	if len(words) != 5 || words[0] != s.cfg.MasterName {
		return
	}
	s.dialer.setPrimary(net.JoinHostPort(words[3], words[4]), s.dialer.primaryVersion())
}

// discoverOthers adds the Sentinels that this one knows, in case those configured go away.
func (s *sentinels) discoverOthers(client *redis.SentinelClient) {
	ctx, cancel := context.WithTimeout(s.ctx, s.dialer.timeout)
	defer cancel()
	others, err := client.Sentinels(ctx, s.cfg.MasterName).Result()
	if err != nil {
		return // a user without this right keeps to those configured
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range others {
		addr := net.JoinHostPort(other["ip"], other["port"])
		if other["ip"] != "" && other["port"] != "" && !slices.Contains(s.addrs, addr) {
			s.addrs = append(s.addrs, addr)
		}
	}
}

// inOrder returns the Sentinels in the order in which to ask them.
func (s *sentinels) inOrder() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.addrs)
}

func (s *sentinels) prefer(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = slices.Insert(without(s.addrs, addr), 0, addr)
}

func (s *sentinels) putLast(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = append(without(s.addrs, addr), addr)
}

func without(addrs []string, addr string) []string {
	return slices.DeleteFunc(addrs, func(a string) bool { return a == addr })
}
