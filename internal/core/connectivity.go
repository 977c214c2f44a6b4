package core

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

// maxRetryPause bounds the pause after a failed heartbeat, and after a failed
// read of a watched service. Watches believe an expiry only after a little more
// than this (see expiryGrace).
const maxRetryPause = 500 * time.Millisecond

// retryPauses are the pauses after failed requests, for which no caller waits.
var retryPauses = backoff.Pauses{Min: 50 * time.Millisecond, Max: maxRetryPause}

// slowFailure: a request that failed after so long has timed out, so the backend
// is unavailable; one that failed sooner is tried again before a watch shows it.
const slowFailure = 150 * time.Millisecond

// answer is what an answer of the backend, or a push, says in addition to the state.
type answer struct {
	at           time.Time // when it arrived
	confirmed    time.Time // a time at which the state was the backend's
	clockJumped  bool      // the backend's clock was set forward
	writesProven bool      // the backend proved that it accepts writes
	refused      error     // why the backend accepts no writes, so that no absence is evidence
}

// connectivity is whether the backend answers the reads of one hub, and when to
// try again if not. The caller holds the service's lock.
type connectivity struct {
	lastAnswer  time.Time
	lastFailure time.Time
	failures    int       // failed reads since the last answer, or answers in a row that refuse writes
	err         error     // why the state is stale, once watches are to show it
	retryAt     time.Time // zero: no retry is due
}

// answered records an answer. It reports whether owners may have been unable to
// renew since the answer before, which is so after a failure, or after a silence
// that is longer than maxSilence (0: no bound). If the backend lost instances
// since, it did so at lossTime or later.
func (c *connectivity) answered(a *answer, maxSilence, maxPause time.Duration) (disconnected bool, lossTime time.Time) {
	silent := maxSilence > 0 && !c.lastAnswer.IsZero() && a.at.Sub(c.lastAnswer) > maxSilence
	disconnected = a.refused != nil || c.failures > 0 || a.clockJumped || silent
	lossTime = a.at
	switch {
	case a.refused != nil:
	case c.failures > 0:
		lossTime = c.lastFailure
		// A read that had to wait was answered as soon as the backend could.
		if waited := a.at.Add(-100 * time.Millisecond); a.confirmed.Before(waited) {
			lossTime = later(lossTime, waited)
		}
	case !disconnected && !c.lastAnswer.IsZero():
		lossTime = c.lastAnswer
	}
	c.lastAnswer, c.err, c.retryAt = a.at, a.refused, time.Time{}
	if a.refused == nil {
		c.failures = 0
		return disconnected, lossTime
	}
	c.failures++
	c.lastFailure = a.at
	// The next write of each owner is pushed: frequent reads would only load the server.
	c.retryAt = a.at.Add(backoff.Pauses{Min: retryPauses.Min, Max: maxPause}.After(c.failures))
	return disconnected, lossTime
}

// failed records a read that failed. slow: it timed out.
func (c *connectivity) failed(err error, slow bool) {
	now := time.Now()
	c.failures++
	c.lastFailure = now
	if c.failures > 1 || slow {
		c.err = err
	}
	c.retryAt = now.Add(retryPauses.After(c.failures))
}
