package health

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/byid"
	"github.com/rollcall-sd/rollcall/internal/probing"
	"github.com/rollcall-sd/rollcall/registry"
)

// check is the probing of one registration.
type check struct {
	c          *Checker
	probe      Probe
	target     Target
	ctx        context.Context // ends with the check
	cancel     context.CancelFunc
	lost       atomic.Bool // the registration was superseded or deregistered
	stopNotify func()      // ends the notification of that

	task *probing.Task // nil until the check is scheduled; guarded by c.mu

	// writing is locked while a verdict is written. With gone set none is written.
	writing sync.Mutex
	gone    bool

	// Touched by one probe at a time.
	status   registry.Status // the verdict
	note     string
	unstated bool // the verdict is still to be written
	failed   bool // writing it failed, and that was logged
	critical int  // results in a row
	fine     int  // results in a row
}

func newCheck(c *Checker, probe Probe, target Target) *check {
	k := &check{c: c, probe: probe, target: target}
	k.ctx, k.cancel = context.WithCancel(c.ctx)
	k.stopNotify = c.Backend.NotifyLost(target.Instance.ID, func(error) { k.lost.Store(true) })
	switch k.status = target.Instance.Status; k.status {
	case "", registry.StatusDraining:
		k.status = registry.StatusPassing
	}
	return k
}

// follow takes on what is known from the check that this one replaces, as the
// registry does with the status of a registration that names none.
func (k *check) follow(old *check) {
	if old == nil || k.target.Instance.Status != "" {
		return
	}
	old.writing.Lock()
	defer old.writing.Unlock()
	k.status, k.note, k.unstated = old.status, old.note, old.unstated
	if k.sameTarget(old.target.Instance) {
		k.critical, k.fine = old.critical, old.fine
	}
}

func (k *check) sameTarget(s registry.ServiceInfo) bool {
	own := k.target.Instance
	return own.Address == s.Address && own.Port == s.Port && own.HealthEndpoint == s.HealthEndpoint
}

// stop ends the check. After it returns no verdict is written.
func (k *check) stop() {
	k.cancel()
	k.stopNotify()
	k.writing.Lock()
	k.gone = true
	k.writing.Unlock()
}

// run probes once. It reports false when that was the last time.
func (k *check) run() bool {
	if k.lost.Load() {
		return false
	}
	result, ended := k.ask()
	defer ended()
	k.writing.Lock()
	defer k.writing.Unlock()
	if k.gone || k.ctx.Err() != nil || k.lost.Load() {
		return false
	}
	k.judge(result)
	return !k.unstated || k.write()
}

// ask probes once. An answer after Timeout counts as none, whatever it says.
// ended waits for a probe that runs on beyond that, so that no two run at once.
func (k *check) ask() (result Result, ended func()) {
	ctx, cancel := context.WithTimeout(k.ctx, k.c.config.timeout)
	answer := make(chan Result, 1)
	var asking sync.WaitGroup
	asking.Go(func() { answer <- k.probe(ctx, k.target).normal() })
	ended = func() { cancel(); asking.Wait() }
	select {
	case result = <-answer:
		if ctx.Err() == nil {
			return result, ended
		}
	case <-ctx.Done():
		// A probe that stops with its context may say where it was stuck.
		patience := time.NewTimer(lateNote)
		defer patience.Stop()
		select {
		case result = <-answer:
		case <-patience.C:
		}
	}
	if result.Status != registry.StatusCritical {
		result = Critical("no answer in time")
	}
	return result, ended
}

// lateNote is how long a probe whose context ended may take to say why.
const lateNote = 50 * time.Millisecond

// judge takes a result into account.
func (k *check) judge(r Result) {
	verdict := k.status
	if r.Status == registry.StatusCritical {
		k.critical, k.fine = k.critical+1, 0
		if k.critical >= k.c.config.fall {
			verdict = r.Status
		}
	} else {
		k.critical, k.fine = 0, k.fine+1
		if k.status != registry.StatusCritical || k.fine >= k.c.config.rise {
			verdict = r.Status
		}
	}
	if verdict == k.status {
		return
	}
	level := slog.LevelInfo
	if verdict == registry.StatusCritical {
		level = slog.LevelWarn
	}
	k.log(level, "health of an instance changed", "from", k.status, "to", verdict, "note", r.Note)
	k.status, k.note, k.unstated, k.failed = verdict, r.Note, true, false
}

func (k *check) log(level slog.Level, message string, args ...any) {
	s := &k.target.Instance
	k.c.config.logger.Log(k.ctx, level, message, append([]any{"service", s.Name, "id", s.ID}, args...)...)
}

// write makes the verdict the instance's status. It reports false when there is
// no sense in probing on. k.writing is held.
func (k *check) write() bool {
	ctx, cancel := context.WithTimeout(k.ctx, k.c.config.timeout)
	defer cancel()
	err := k.standing(ctx)
	if err == nil {
		err = k.c.Backend.SetStatus(ctx, k.target.Instance.ID, k.status, k.note)
	}
	switch {
	case err == nil:
		k.unstated = false
	case k.ctx.Err() != nil, errors.Is(err, registry.ErrClosed):
		return false
	case errors.Is(err, registry.ErrSuperseded):
		k.log(slog.LevelWarn, "instance has a newer owner and is no longer probed here")
		return false
	case !k.failed:
		k.failed = true
		k.log(slog.LevelWarn, "health of an instance could not be written; trying again after its next probe", "status", k.status, "error", err)
	}
	return true
}

// standing checks that the backend has the instance that was probed. A status is
// set by ID, whichever process owns it, and a process that was stalled knows late
// that a newer owner superseded it.
func (k *check) standing(ctx context.Context) error {
	now, err := k.c.Backend.Snapshot(ctx, k.target.Instance.Name)
	if err != nil {
		return err
	}
	listed := byid.Find(k.target.Instance.ID, func(s *registry.ServiceInfo) string { return s.ID }, now.Instances, now.Others)
	switch {
	case listed == nil:
		return registry.ErrNotFound
	case !k.sameTarget(*listed):
		return registry.ErrSuperseded
	}
	return nil
}
