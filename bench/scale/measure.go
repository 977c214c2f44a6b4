package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/bench/naive"
	"github.com/rollcall-sd/rollcall/registry"
)

// meter reads a server's processor time.
type meter struct {
	ctx    context.Context
	client *redis.Client
	err    error
}

func (m *meter) micros() float64 {
	info, err := m.client.Info(m.ctx, "cpu").Result()
	m.fail(err)
	total := 0.0
	for _, line := range strings.Split(info, "\r\n") {
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if text, ok := strings.CutPrefix(line, name); ok {
				v, err := strconv.ParseFloat(text, 64)
				m.fail(err)
				total += v * 1e6
			}
		}
	}
	return total
}

func (m *meter) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// per returns the processor time of one of n operations.
func (m *meter) per(n int, work func()) float64 {
	before := m.micros()
	work()
	return max(m.micros()-before, 0) / float64(n)
}

// measureCosts measures a primary's processor time per operation on a server
// that is otherwise idle. It empties the server.
func measureCosts(ctx context.Context, addr string) (Costs, error) {
	m := &meter{ctx: ctx, client: redis.NewClient(&redis.Options{Addr: addr})}
	defer m.client.Close()
	m.fail(m.client.FlushAll(ctx).Err())
	c := Costs{Machine: measure.Machine()}
	const beat = 500 * time.Millisecond
	one := m.renewing(addr, beat, 100, 1)
	many := m.renewing(addr, beat, 100, 100)
	c.RenewInstance = (many - one) / 99
	c.RenewService = one - c.RenewInstance

	r := m.open(addr, 10*time.Minute)
	if m.err != nil {
		return c, m.err
	}
	defer r.Close()
	const changes = 3000
	c.Change = m.per(changes, func() {
		for i := range changes {
			m.fail(r.Register(ctx, naive.Instance(fmt.Sprint("c", i/100))))
		}
	})
	c.ChangeBatched = m.per(changes, func() { m.together(r, changes, "b") })
	const reads = 5000
	_, err := r.Snapshot(ctx, "c0")
	m.fail(err)
	c.Check = m.per(reads, func() {
		for range reads {
			_, err := r.Snapshot(ctx, "c0")
			m.fail(err)
		}
	})
	c.Push = m.pushing()
	c.Bytes = m.bytes()
	m.fail(m.client.FlushAll(ctx).Err())
	return c, m.err
}

func (m *meter) open(addr string, beat time.Duration) *registry.RedisRegistry {
	r, err := registry.NewRedisRegistry(m.ctx, registry.RedisRegistryConfig{
		RedisAddr: addr, TTL: max(4*beat, time.Minute), HeartbeatInterval: beat, Logger: slog.New(slog.DiscardHandler),
	})
	m.fail(err)
	return r
}

func (m *meter) together(r *registry.RedisRegistry, n int, service string) {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- r.Register(m.ctx, naive.Instance(service+strconv.Itoa(i/100))) }()
	}
	for range n {
		m.fail(<-errs)
	}
}

// renewing returns the time that one script call of a beat takes, with so many leases each.
func (m *meter) renewing(addr string, beat time.Duration, services, each int) float64 {
	r := m.open(addr, beat)
	if m.err != nil {
		return 0
	}
	for i := range services {
		for range each {
			m.fail(r.Register(m.ctx, naive.Instance(fmt.Sprint("renew-", each, "-", i))))
		}
	}
	time.Sleep(3 * beat)
	const lasting = 20
	m.fail(m.client.ConfigResetStat(m.ctx).Err())
	took := m.per(1, func() { time.Sleep(lasting * beat) })
	calls := m.called("evalsha")
	m.fail(r.Close())
	m.fail(m.client.FlushAll(m.ctx).Err())
	return took / max(calls, 1)
}

// called returns how often a command was called since CONFIG RESETSTAT.
func (m *meter) called(command string) float64 {
	info, err := m.client.Info(m.ctx, "commandstats").Result()
	m.fail(err)
	_, rest, _ := strings.Cut(info, "cmdstat_"+command+":calls=")
	digits, _, _ := strings.Cut(rest, ",")
	n, _ := strconv.ParseFloat(digits, 64)
	return n
}

// pushing returns the time that delivering one message to one subscription takes.
func (m *meter) pushing() float64 {
	const subscribers, messages = 100, 300
	text := strings.Repeat("x", naive.PayloadBytes+100)
	publish := func() {
		for range messages {
			m.fail(m.client.Publish(m.ctx, "pushed", text).Err())
		}
	}
	alone := m.per(messages, publish)
	for range subscribers {
		sub := m.client.Subscribe(m.ctx, "pushed")
		_, err := sub.Receive(m.ctx)
		m.fail(err)
		defer sub.Close()
		_ = sub.Channel(redis.WithChannelSize(messages))
	}
	return max(m.per(messages, publish)-alone, 0) / subscribers
}

// bytes returns the memory per instance of a service of 100.
func (m *meter) bytes() float64 {
	keys, err := m.client.Keys(m.ctx, "*{c0}*").Result()
	m.fail(err)
	total := 0.0
	for _, k := range keys {
		n, err := m.client.MemoryUsage(m.ctx, k, 0).Result()
		m.fail(err)
		total += float64(n)
	}
	return total / 100
}
