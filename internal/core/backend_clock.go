package core

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// maxClockJump is how far the backend's clock may advance beyond the process's
	// own before it counts as set forward.
	maxClockJump = time.Second
	// maxClockStepBack is by how much an answer may be older than one before it,
	// although the clock was not set back: answers and pushes come on different
	// connections.
	maxClockStepBack = time.Second
)

// clockJumped reports whether a reading that arrived now shows that the backend's
// clock was set forward.
func (s *serviceState) clockJumped(r *store.Reading, now time.Time) bool {
	return s.backendTime != 0 && r.Now != 0 &&
		time.Duration(r.Now-s.backendTime)*time.Microsecond-now.Sub(s.backendTimeAt) > maxClockJump
}

// clockSetBack reports whether a reading, which the backend made at least elapsed
// after its time was last read, shows that its clock was set back.
func (s *serviceState) clockSetBack(r *store.Reading, elapsed time.Duration) bool {
	return s.backendTime != 0 && r.Now != 0 &&
		time.Duration(r.Now-s.backendTime)*time.Microsecond < elapsed-maxClockStepBack
}

// setBackendTime takes the time from a reading that arrived now. A push (not
// current) may have been on its way for long, so only a later time counts.
func (s *serviceState) setBackendTime(r *store.Reading, now time.Time, current bool) {
	elapsed := now.Sub(s.backendTimeAt).Microseconds()
	if r.Now != 0 && (current || s.backendTime == 0 || r.Now > s.backendTime+elapsed) {
		s.backendTime, s.backendTimeAt = r.Now, now
	}
}
