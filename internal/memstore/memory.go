package memstore

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// maxLog is how many changes of a service the log reaches back.
	maxLog = 128
	// tombstones are kept for tombstoneTime, or for othersTombstoneTime if an owner may not
	// know yet.
	tombstoneTime       = 10 * time.Minute
	othersTombstoneTime = 24 * time.Hour
	// maxClockStep is by how much the clock may differ from the time that has passed. Beyond
	// it leases and tombstones move with the clock.
	maxClockStep = time.Second
)

// memory is the backend: what all stores on it share.
type memory struct {
	published sync.Map    // by service: *store.LocalState, of services with a record
	nonce     string      // tells the revisions of this memory from those of others
	begun     int64       // when it began
	ended     atomic.Bool // as closed, for readers that take no lock

	mu               sync.Mutex
	closed           bool
	shared           bool // other stores than the Local one use it, so that evidence is kept
	services         map[string]*service
	where            map[string]string // by ID: the service in which it stands, or has a tombstone
	lastRegisteredAt int64             // the latest registration time
	lastRev          uint64
	watchers         map[string]map[*watcher]struct{}
	history          history
	watcherLeases    map[string]map[string]*watcherLease // by service and owner
	doneCalls        doneCalls
	local            string // the owner of the Local store
	localLost        bool   // another owner ended a registration of it
	companion        store.Companion
	localWaits       map[string]<-chan struct{} // see localLags
	expiry           *time.Timer                // at the earliest end of a lease; nil before there was one
	expiryAt         int64                      // when it fires; 0: it does not

	clockBase   time.Time // has a monotonic reading
	clockMicros int64     // the time at clockBase
}

// service is what is kept of one service. Records are shared and do not change: what a
// renewal changes is in leases.
type service struct {
	name       string
	records    []*store.Record // oldest first; replaced, never changed
	rev        string
	leases     map[string]*lease // by the ID of a record
	tombstones map[string]*tombstone
	log        []change // the last, oldest first; at most 2*maxLog
	nextExpiry int64    // no lease ends before it; 0: none ends
	sweepAt    int      // the number of tombstones at which ended ones are looked for
}

// lease is a record with what of it may change although readers see no change.
type lease struct {
	record  *store.Record
	ends    int64  // 0: never
	seq     uint64 // the number of the owner's last call about the record
	by      string // the name of the owner's store
	flagged bool   // it replaced another owner's record, who may not know yet
}

type tombstone struct {
	store.Tombstone
	until   int64
	flagged bool // an owner may not know yet
}

// change is one change in the log.
type change struct {
	rev  string
	id   string
	call callID // the zero value for an expiry
}

// callID identifies a call: one that is sent twice takes effect once.
type callID struct {
	owner string
	seq   uint64
}

// call is a call of an owner.
type call struct {
	callID
	by  string // how events show the caller
	now int64
}

func newMemory(owner string) *memory {
	m := &memory{
		nonce: strings.ToLower(rand.Text()[:10]), local: owner,
		services: make(map[string]*service), where: make(map[string]string),
		watchers: make(map[string]map[*watcher]struct{}), watcherLeases: make(map[string]map[string]*watcherLease),
		history: history{services: make(map[string]*serviceHistory)}, localWaits: make(map[string]<-chan struct{}),
	}
	m.clockBase = time.Now()
	m.clockMicros = m.clockBase.UnixMicro()
	m.begun = m.clockMicros
	return m
}

// now returns the time. While the clock runs evenly it is the clock's. When that was set,
// or the machine slept, leases and tombstones move with it, so that their remaining time
// is the same. The caller holds m.mu.
func (m *memory) now() int64 {
	clock := time.Now()
	passed := m.clockMicros + clock.Sub(m.clockBase).Microseconds()
	step := clock.UnixMicro() - passed
	if step <= maxClockStep.Microseconds() && -step <= maxClockStep.Microseconds() {
		return passed
	}
	m.clockBase, m.clockMicros = clock, clock.UnixMicro()
	for _, s := range m.services {
		for _, l := range s.leases {
			if l.ends != 0 {
				l.ends += step
			}
		}
		for _, t := range s.tombstones {
			t.until += step
		}
		if s.nextExpiry != 0 {
			s.nextExpiry += step
		}
	}
	for _, leases := range m.watcherLeases {
		for _, l := range leases {
			l.ends += step
		}
	}
	if m.expiryAt != 0 {
		m.expiryAt += step
	}
	return m.clockMicros
}

// serviceOf returns a service, which it creates if there is none.
func (m *memory) serviceOf(name string) *service {
	s := m.services[name]
	if s == nil {
		s = &service{name: name, leases: make(map[string]*lease), tombstones: make(map[string]*tombstone)}
		m.services[name] = s
	}
	return s
}

// find returns what stands of an ID: a record, or a tombstone, or neither.
func (s *service) find(id string) (*store.Record, *tombstone) {
	if s == nil {
		return nil, nil
	}
	if l := s.leases[id]; l != nil {
		return l.record, nil
	}
	return nil, s.tombstones[id]
}

// situation is the row of the fencing table for a call, about what find returned.
func (s *service) situation(c callID, registeredAt int64, record *store.Record, t *tombstone) store.Situation {
	if record != nil {
		standing := *record
		standing.Seq = s.leases[record.ID].seq
		return store.SituationOf(c.owner, c.seq, registeredAt, &standing, nil)
	}
	if t != nil {
		return store.SituationOf(c.owner, c.seq, registeredAt, nil, &t.Tombstone)
	}
	return store.SituationOf(c.owner, c.seq, registeredAt, nil, nil)
}

// tookEffect reports whether the log shows that a call took effect before.
func (s *service) tookEffect(c callID) bool {
	return s != nil && slices.ContainsFunc(s.log, func(e change) bool { return e.call == c })
}

// edit is a change of a service that is under way. Readers see all of it at once.
type edit struct {
	m          *memory
	s          *service
	previous   string // revision
	hadRecords bool
	records    []*store.Record   // of the service, afterwards
	changed    []*store.Record   // that were added or replaced
	ended      []store.Tombstone // with the reasons why records ended
	revs       int
}

func (m *memory) edit(s *service) *edit {
	return &edit{m: m, s: s, previous: s.rev, hadRecords: len(s.records) > 0, records: slices.Clone(s.records)}
}

// note numbers a change.
func (e *edit) note(id string, c callID) {
	e.m.lastRev++
	e.s.rev = strconv.FormatUint(e.m.lastRev, 10) + "." + e.m.nonce
	e.revs++
	if !e.m.shared {
		return
	}
	if len(e.s.log) >= 2*maxLog {
		e.s.log = append(make([]change, 0, 2*maxLog), e.s.log[len(e.s.log)-maxLog:]...)
	}
	e.s.log = append(e.s.log, change{e.s.rev, id, c})
}

// put adds a record, in place of an earlier one of its ID.
func (e *edit) put(r *store.Record, l *lease, c callID) {
	e.take(r.ID)
	at, _ := slices.BinarySearchFunc(e.records, r, compareRecords)
	e.records = slices.Insert(e.records, at, r)
	e.changed = append(e.changed, r)
	l.record = r
	e.s.leases[r.ID] = l
	delete(e.s.tombstones, r.ID)
	e.ended = slices.DeleteFunc(e.ended, func(t store.Tombstone) bool { return t.ID == r.ID })
	e.m.where[r.ID] = e.s.name
	e.note(r.ID, c)
	e.m.scheduleExpiry(e.s, l.ends)
}

// compareRecords orders records: oldest first.
func compareRecords(a, b *store.Record) int {
	switch {
	case a.Before(b):
		return -1
	case b.Before(a):
		return 1
	}
	return 0
}

// replace puts a record in the place of one that has the same place in the order.
func (e *edit) replace(old, new *store.Record, c callID) {
	e.records[slices.Index(e.records, old)] = new
	e.changed = append(e.changed, new)
	e.s.leases[new.ID].record = new
	e.note(new.ID, c)
}

// take removes a record.
func (e *edit) take(id string) {
	isID := func(r *store.Record) bool { return r.ID == id }
	e.records = slices.DeleteFunc(e.records, isID)
	e.changed = slices.DeleteFunc(e.changed, isID)
	delete(e.s.leases, id)
}

// end leaves a tombstone, and removes the record of the ID if there is one.
func (e *edit) end(t *tombstone, now int64, c callID) {
	e.take(t.ID)
	e.ended = append(e.ended, t.Tombstone)
	e.note(t.ID, c)
	if !e.m.shared {
		delete(e.m.where, t.ID)
		return
	}
	t.until = now + keepTombstone(t.flagged).Microseconds()
	e.s.tombstones[t.ID] = t
	e.m.sweep(e.s, now)
}

func keepTombstone(flagged bool) time.Duration {
	if flagged {
		return othersTombstoneTime
	}
	return tombstoneTime
}

// sweep forgets tombstones whose time is over, once there are twice as many as after the
// last time.
func (m *memory) sweep(s *service, now int64) {
	if len(s.tombstones) < max(s.sweepAt, 64) {
		return
	}
	m.forget(s, now)
	s.sweepAt = 2 * len(s.tombstones)
}

func (m *memory) forget(s *service, now int64) {
	for id, t := range s.tombstones {
		if t.until < now {
			delete(s.tombstones, id)
			if m.where[id] == s.name {
				delete(m.where, id)
			}
		}
	}
}

// commit shows the change to readers and watches.
func (e *edit) commit() {
	if e.revs == 0 {
		return
	}
	s := e.s
	s.records = e.records
	state := &store.LocalState{Reading: store.Reading{Rev: s.rev, Records: s.records, Tombstones: e.ended}}
	if len(s.records) == 0 {
		e.m.published.Delete(s.name)
	} else {
		e.m.published.Store(s.name, state)
	}
	e.m.notify(e, &state.Reading)
	if has := len(s.records) > 0; has != e.hadRecords && s.name != store.Catalog {
		e.m.updateCatalog(s.name, has)
	}
	if len(s.records)+len(s.tombstones) == 0 && !e.m.shared {
		delete(e.m.services, s.name)
	}
}

// updateCatalog adds a name to the catalog or removes it.
func (m *memory) updateCatalog(name string, live bool) {
	e := m.edit(m.serviceOf(store.Catalog))
	old, _ := e.s.find(name)
	if live {
		r := &store.Record{ID: name}
		at, _ := slices.BinarySearchFunc(e.records, name, func(r *store.Record, n string) int { return strings.Compare(r.ID, n) })
		e.records = slices.Insert(e.records, at, r)
		e.changed = append(e.changed, r)
		e.s.leases[name] = &lease{record: r}
		delete(e.s.tombstones, name)
		e.note(name, callID{})
	} else if old != nil {
		e.end(&tombstone{Tombstone: store.Tombstone{ID: name, Reason: store.ReasonDeregistered}}, m.now(), callID{})
	}
	e.commit()
}

// sameContent reports whether a record already is as a put would make it.
func sameContent(r *store.Record, p *store.Put, leased bool) bool {
	return bytes.Equal(r.Payload, p.Payload) && (!leased || r.TTL == p.TTL && r.HeartbeatInterval == p.HeartbeatInterval)
}

// doneCalls remembers the calls by ID alone that took effect last, and in which service.
type doneCalls struct {
	services map[callID]string
	order    []callID
}

// maxDoneCalls is how many calls are remembered.
const maxDoneCalls = 1024

func (d *doneCalls) note(c callID, service string) {
	if d.services == nil {
		d.services = make(map[callID]string)
	}
	if len(d.order) == maxDoneCalls {
		for _, old := range d.order[:maxDoneCalls/2] {
			delete(d.services, old)
		}
		d.order = append([]callID(nil), d.order[maxDoneCalls/2:]...)
	}
	d.services[c] = service
	d.order = append(d.order, c)
}
