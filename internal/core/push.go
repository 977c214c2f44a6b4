package core

import "github.com/rollcall-sd/rollcall/internal/store"

// maxQueuedPushes bounds the pushes that wait for a read.
const maxQueuedPushes = 256

// handlePush takes a push. It does not block: it runs on the subscription's goroutine.
func (s *service) handlePush(n store.Notice) {
	s.mu.Lock()
	if s.hub == nil {
		s.mu.Unlock()
		return
	}
	if n.Resync == "" && n.Reading.Kind == store.Full {
		// A store that pushes whole states pushes them in order.
		s.applyPush(&n.Reading)
		s.mu.Unlock()
		return
	}
	s.hub.unannounced = ""
	resync := n.Resync
	if resync == "" {
		s.pushes = append(s.pushes, n)
		if s.currentRead != nil {
			s.mu.Unlock()
			return
		}
		resync = s.applyPushes()
	}
	s.mu.Unlock()
	if resync != "" {
		s.sharedRead(resync)
	}
}

// applyPushes applies the waiting pushes, each of which says which revision it
// follows. It returns the reason to read again if some do not follow the state.
// The caller holds s.mu.
func (s *service) applyPushes() (resync string) {
	pushes := s.pushes
	s.pushes = nil
	if len(pushes) > maxQueuedPushes {
		return store.ResyncGap
	}
	// Pushes before the revision that was read are part of it.
	for i := len(pushes) - 1; i >= 0; i-- {
		if pushes[i].Reading.Rev == s.state.rev {
			pushes = pushes[i+1:]
			break
		}
	}
	for i := range pushes {
		if pushes[i].PreviousRev != s.state.rev {
			return store.ResyncGap
		}
		s.applyPush(&pushes[i].Reading)
	}
	if s.state.expiriesVoid {
		return store.ResyncGap
	}
	return ""
}
