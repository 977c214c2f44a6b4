package redisstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// minPingInterval is the minimum silence after which a subscription is pinged; with
	// a longer heartbeat interval it is pinged after one of those. A subscription that
	// does not answer within the same time is replaced.
	minPingInterval = time.Second
)

// resubscribePauses are the pauses between two tries to subscribe.
var resubscribePauses = backoff.Pauses{Min: 25 * time.Millisecond, Max: 500 * time.Millisecond}

// subscription is the one subscribed connection of a store. It calls its listeners in
// the order of the messages, from one goroutine.
type subscription struct {
	store   *Store
	changed chan struct{} // the set of channels with a listener changed

	mu        sync.Mutex
	listeners map[string]map[*listener]struct{} // by channel
	conn      *redis.PubSub
	started   bool
	done      sync.WaitGroup
}

type listener struct{ notify func(store.Notice) }

func newSubscription(s *Store) *subscription {
	return &subscription{store: s, changed: make(chan struct{}, 1), listeners: make(map[string]map[*listener]struct{})}
}

// Watch implements store.Store. Each time that the channel's subscription begins, the
// listener gets a Resync.
func (s *Store) Watch(service string, notify func(store.Notice)) (stop func()) {
	return s.sub.add(s.keys.channel(service), &listener{notify})
}

func (s *subscription) add(channel string, l *listener) (stop func()) {
	s.mu.Lock()
	set := s.listeners[channel]
	if set == nil {
		set = make(map[*listener]struct{})
		s.listeners[channel] = set
	}
	set[l] = struct{}{}
	if !s.started && s.store.ctx.Err() == nil {
		s.started = true
		s.done.Add(2)
		go s.receive()
		go s.control()
	}
	s.mu.Unlock()
	s.wake()
	return func() {
		s.mu.Lock()
		delete(set, l)
		if len(set) == 0 && len(s.listeners[channel]) == 0 {
			delete(s.listeners, channel)
		}
		s.mu.Unlock()
		s.wake()
	}
}

func (s *subscription) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *subscription) wait() { s.done.Wait() }

// wantedChannels returns the channels with a listener.
func (s *subscription) wantedChannels() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]bool, len(s.listeners))
	for c := range s.listeners {
		out[c] = true
	}
	return out
}

// control subscribes and unsubscribes while receive waits for messages.
func (s *subscription) control() {
	defer s.done.Done()
	ctx := s.store.ctx
	var last *redis.PubSub
	have := map[string]bool{}
	for {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		conn := s.conn
		s.mu.Unlock()
		if conn == nil {
			continue // receive subscribes to all when it connects, and wakes this loop
		}
		if conn != last {
			last, have = conn, map[string]bool{}
		}
		want := s.wantedChannels()
		var more, less []string
		for c := range want {
			if !have[c] {
				more = append(more, c)
				have[c] = true
			}
		}
		for c := range have {
			if !want[c] {
				less = append(less, c)
				delete(have, c)
			}
		}
		// A failure closes the connection, which receive notices.
		var err error
		if len(more) > 0 {
			err = conn.Subscribe(ctx, more...)
		}
		if len(less) > 0 && err == nil {
			err = conn.Unsubscribe(ctx, less...)
		}
		if err != nil {
			_ = conn.Close()
		}
	}
}

// receive keeps one connection subscribed until the store closes.
func (s *subscription) receive() {
	defer s.done.Done()
	ctx := s.store.ctx
	for try := 0; ; try++ {
		conn := s.store.cfg.Client.Subscribe(ctx)
		s.mu.Lock()
		s.conn = conn
		s.mu.Unlock()
		s.wake()
		if s.listen(ctx, conn) {
			try = 0
		}
		s.mu.Lock()
		s.conn = nil
		s.mu.Unlock()
		_ = conn.Close()
		if resubscribePauses.Sleep(ctx, try+1) != nil {
			return
		}
	}
}

// listen handles messages until the connection fails or falls silent. It reports
// whether it received any.
func (s *subscription) listen(ctx context.Context, conn *redis.PubSub) (received bool) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	asked := false
	for ctx.Err() == nil {
		msg, err := conn.ReceiveTimeout(ctx, max(minPingInterval, s.store.cfg.HeartbeatInterval))
		var timeout net.Error
		switch {
		case err == nil:
			received, asked = true, false
			s.handle(msg)
		case errors.As(err, &timeout) && timeout.Timeout() && !asked && ctx.Err() == nil:
			asked = true
			if len(s.wantedChannels()) == 0 {
				asked = false // nothing is subscribed, so nothing is connected
				continue
			}
			if conn.Ping(ctx) != nil {
				return received
			}
		default:
			return received
		}
	}
	return received
}

func (s *subscription) handle(msg any) {
	switch m := msg.(type) {
	case *redis.Subscription:
		if m.Kind == "subscribe" {
			s.notify(m.Channel, store.Notice{Resync: store.ResyncConnected})
		}
	case *redis.Message:
		if m.Channel == s.store.keys.channel(store.Catalog) {
			s.notify(m.Channel, store.Notice{Resync: store.ResyncGap})
			return
		}
		n, ok := parseMessage(m.Payload)
		if !ok {
			n = store.Notice{Resync: store.ResyncGap}
		}
		s.notify(m.Channel, n)
	}
}

func (s *subscription) notify(channel string, n store.Notice) {
	s.mu.Lock()
	all := make([]*listener, 0, len(s.listeners[channel]))
	for l := range s.listeners[channel] {
		all = append(all, l)
	}
	s.mu.Unlock()
	for _, l := range all {
		l.notify(n)
	}
}

// Resubscribe implements store.Resubscriber. It closes the connection in the
// background, since closing one that is being made waits until that fails.
func (s *Store) Resubscribe() {
	s.sub.mu.Lock()
	conn := s.sub.conn
	s.sub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn != nil && !s.closed {
		s.loops.Go(func() { _ = conn.Close() })
	}
}
