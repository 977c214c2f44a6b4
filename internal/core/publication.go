package core

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// shownState is one state that subscribers are handed.
type shownState struct {
	version uint64 // 1 for the first, greater by 1 with each further one
	content *Content
	stale   error
}

// publication is the state that a hub shows. Subscribers read it without a lock;
// who sets it holds the service's lock.
type publication struct {
	current     atomic.Pointer[shownState] // nil until the first answer or failure
	confirmedAt atomic.Pointer[time.Time]  // when the backend last confirmed it; nil before it did
}

// set makes content and stale the current state. It reports false if that is no
// change. retaining: content has retained instances, so a revision that changes
// alone is no change of what is shown.
func (p *publication) set(content *Content, stale error, retaining bool) (changed bool) {
	old := p.current.Load()
	// A different reason for staleness is no change.
	if old != nil && (old.stale == nil) == (stale == nil) {
		if old.content == content || slices.Equal(old.content.Entries, content.Entries) &&
			(retaining || old.content.Revision == content.Revision) {
			return false
		}
	}
	if stale != nil && !errors.Is(stale, store.ErrUnavailable) {
		stale = fmt.Errorf("%w: %w", store.ErrUnavailable, stale)
	}
	next := &shownState{version: 1, content: content, stale: stale}
	if old != nil {
		next.version = old.version + 1
	}
	p.current.Store(next)
	return true
}

// view returns a shown state as a watch yields it.
func (p *publication) view(s *shownState) View {
	v := View{Content: s.content, Stale: s.stale, Confirmed: &p.confirmedAt}
	if at := p.confirmedAt.Load(); at != nil {
		v.AsOf = *at
	}
	return v
}
