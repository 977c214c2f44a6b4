package consulapi

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// entry is one instance as answers show it. It is not changed once it is made.
type entry struct {
	info        registry.ServiceInfo
	record      record
	checks      []checkJSON // of the instance, without those of its node
	note        string      // of the status
	revision    uint64      // the backend's
	createIndex uint64
	modifyIndex uint64
	fromLibrary bool // registered without a daemon
}

// serviceView is the state of one service. It is not changed once it is made.
type serviceView struct {
	name    string
	entries []*entry // oldest first
	stale   error
	asOf    time.Time // when the backend last confirmed it, if it is stale
}

// list returns the entries of a view, none for nil.
func (v *serviceView) list() []*entry {
	if v == nil {
		return nil
	}
	return v.entries
}

// hub watches services in the backend, each from when it is first asked for. A name
// that has not been asked for during idleTime is no longer watched, unless the catalog
// has it.
type hub struct {
	api *API

	mu       sync.Mutex
	services map[string]*watched
	room     int // how many names are watched though the catalog lacks them
	closed   bool
	catalogs
	knownNodes
}

// watched is one service that the hub watches.
type watched struct {
	cell   *cell[*serviceView]
	cancel context.CancelFunc
	used   time.Time
	reads  int // under way: while there are any, it stays
	shown  shownState
}

const (
	// idleTime is how long a name that the catalog lacks is watched after its last use.
	idleTime = 15 * time.Minute
	// maxWatched bounds these names.
	maxWatched = 20_000
)

func newHub(a *API) *hub {
	return &hub{api: a, services: make(map[string]*watched), room: maxWatched, catalogs: newCatalogs(), knownNodes: newKnownNodes()}
}

// close has no watch begin from now on.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// service returns the state of a service, which is watched from then on.
func (h *hub) service(name string) (*cell[*serviceView], error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, err := h.watch(name)
	if err != nil {
		return nil, err
	}
	return w.cell, nil
}

// read is service for a read that may block. The caller calls done after it.
func (h *hub) read(name string) (c *cell[*serviceView], done func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, err := h.watch(name)
	if err != nil {
		return nil, nil, err
	}
	w.reads++
	return w.cell, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		w.reads--
		w.used = time.Now()
	}, nil
}

// watch returns the watch of a service, which begins if there is none. h.mu is held.
func (h *hub) watch(name string) (*watched, error) {
	now := time.Now()
	w := h.services[name]
	if w == nil {
		if h.closed {
			return nil, &httpError{500, "the daemon is stopping"}
		}
		if !h.isListed(name) && len(h.services) >= h.room+len(h.listed) && h.makeRoom(now) == 0 {
			return nil, &httpError{500, "too many services are watched"}
		}
		ctx, cancel := context.WithCancel(h.api.ctx)
		w = &watched{cell: newCell[*serviceView](), cancel: cancel}
		h.services[name] = w
		h.api.loops.Go(func() { h.watchService(ctx, name, w) })
	}
	w.used = now
	return w, nil
}

func (h *hub) isListed(name string) bool {
	_, listed := slices.BinarySearch(h.listed, name)
	return listed || StandsForNodes(name)
}

// makeRoom ends the watches that were not used for idleTime, or else the older half, and
// reports how many. Those of names in the catalog and of reads under way go on. h.mu is
// held.
func (h *hub) makeRoom(now time.Time) (dropped int) {
	var names []string
	for name, w := range h.services {
		if w.reads == 0 && !h.isListed(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return h.services[a].used.Compare(h.services[b].used) })
	for n, name := range names {
		if w := h.services[name]; n <= len(names)/2 || now.Sub(w.used) > idleTime {
			w.cancel()
			delete(h.services, name)
			view, _, _ := w.cell.get()
			h.publishService(name, view, nil)
			dropped++
		}
	}
	return dropped
}

// watchService keeps the state of a service until ctx ends.
func (h *hub) watchService(ctx context.Context, name string, w *watched) {
	for snapshot := range h.api.config.Backend.Watch(ctx, name) {
		if errors.Is(snapshot.Stale, registry.ErrInvalidService) { // no instance can have that name
			w.cell.set(&serviceView{name: name}, h.api.clock.next())
			return
		}
		if snapshot.Stale != nil && snapshot.AsOf.IsZero() {
			continue // nothing is known yet
		}
		old, _, _ := w.cell.get()
		view := &serviceView{name: name, stale: snapshot.Stale, asOf: snapshot.AsOf}
		view.entries = h.entries(ctx, snapshot, old)
		stamp := uint64(0) // the index of a change, 0 if no instance changed
		switch {
		case old == nil || !slices.Equal(old.entries, view.entries):
			stamp = h.api.clock.next()
			for _, e := range view.entries {
				if e.modifyIndex == 0 {
					e.modifyIndex = stamp
				}
				if e.createIndex == 0 {
					e.createIndex = stamp
				}
			}
		case old.stale == nil && view.stale == nil:
			continue // readers go on with the same state
		}
		h.show(w, old, view, stamp)
	}
}

// show replaces the state of a service, in its own queries and in all that show it. stamp
// is the index of the change.
func (h *hub) show(w *watched, old, view *serviceView, stamp uint64) {
	gone, come := differences(old.list(), view.entries)
	h.mu.Lock() // until the states of all services show this one as well
	defer h.mu.Unlock()
	if h.services[view.name] != w {
		return // no longer watched
	}
	var changed map[string]bool
	if StandsForNodes(view.name) {
		changed = h.noteNodes(view, gone, come)
	}
	w.cell.update(func(index uint64) (*serviceView, uint64) {
		switch {
		case stamp == 0:
			return view, index
		case stamp > index:
			return view, stamp
		}
		return view, h.api.clock.next() // a change of a node came between
	})
	h.publishService(view.name, old, view)
	if len(changed) > 0 {
		h.touchServices(changed)
	}
}

// writeWait is how long an answer to a write waits until reads show the write.
const writeWait = time.Second

// awaitWrite waits until the state of a service shows a write of this daemon, so that
// the next read of the same client does.
func (h *hub) awaitWrite(ctx context.Context, name string, shown func(*serviceView) bool) {
	c, err := h.service(name)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	for after := uint64(0); ; {
		view, index := c.await(ctx, h.api.drain, after)
		if index <= after || index > 0 && (shown(view) || view.stale != nil) {
			h.mu.Lock() // the states of all services are published with this one
			defer h.mu.Unlock()
			return
		}
		after = index
	}
}

// entries makes the entries of a snapshot. Those of instances that have not changed
// since the last view are the same.
func (h *hub) entries(ctx context.Context, s registry.Snapshot, old *serviceView) []*entry {
	byID := make(map[string]*entry)
	if old != nil {
		for _, e := range old.entries {
			byID[e.info.ID] = e
		}
	}
	var details map[string]registry.Instance // notes are not in a snapshot
	if s.Stale == nil && len(s.Instances)+len(s.Others) > 0 {
		ctx, cancel := context.WithTimeout(ctx, h.api.config.CallTimeout)
		list, err := h.api.config.Backend.Instances(ctx, s.Service)
		cancel()
		if err == nil {
			details = make(map[string]registry.Instance, len(list))
			for _, i := range list {
				details[i.ID] = i
			}
		}
	}
	out := make([]*entry, 0, len(s.Instances)+len(s.Others))
	for _, list := range [][]registry.ServiceInfo{s.Instances, s.Others} {
		for _, info := range list {
			before := byID[info.ID]
			detail, known := details[info.ID]
			switch {
			case before != nil && sameInfo(before.info, info) &&
				(!known || detail.Revision == before.revision):
				out = append(out, before)
			default:
				e := h.api.newEntry(info, detail.Note)
				e.revision = detail.Revision
				if before != nil && before.info.RegisteredAt.Equal(info.RegisteredAt) {
					e.createIndex = before.createIndex
				}
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return a.info.RegisteredAt.Compare(b.info.RegisteredAt) })
	return out
}

// sameInfo reports whether two states of an instance say the same.
func sameInfo(a, b registry.ServiceInfo) bool {
	return a.RegisteredAt.Equal(b.RegisteredAt) && a.Status == b.Status && a.Address == b.Address && a.Port == b.Port && a.Weight == b.Weight &&
		slices.Equal(a.Tags, b.Tags) && maps.Equal(a.Metadata, b.Metadata) && maps.Equal(a.Extensions, b.Extensions)
}

// catalog starts to watch all services, if that has not begun.
func (h *hub) catalog() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.catalogStarted && !h.closed {
		h.catalogStarted = true
		h.api.loops.Go(h.watchNames)
	}
}

// watchNames watches every service that has an instance.
func (h *hub) watchNames() {
	for c := range h.api.config.Backend.WatchServices(h.api.ctx) {
		if c.Stale != nil && c.AsOf.IsZero() {
			continue
		}
		h.mu.Lock()
		h.catalogStale, h.catalogAsOf = c.Stale, c.AsOf
		h.listed = c.Names
		for _, name := range c.Names {
			_, _ = h.watch(name) // it fails only once the API closes
		}
		h.publishNames()
		h.mu.Unlock()
	}
}
