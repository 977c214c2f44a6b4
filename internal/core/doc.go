// Package core is the logic of a registry, on records, over any [store.Store]. It
// owns registrations and keeps them alive, writes lost ones again, reads, and
// watches. It knows neither Redis nor services' payloads: package registry
// encodes and decodes those.
//
// An [Engine] is one registry. This is how its four tasks work.
//
// # Heartbeats and reregistration
//
// One loop per engine renews all its registrations (heartbeat.go): one request per
// service, all in one round trip (heartbeat_batch.go). The batch is kept from one
// heartbeat to the next and is made again only after the engine's registrations
// have changed. Heartbeats are at most one interval apart: jitter only shortens,
// by up to a tenth. A heartbeat that failed is tried again within 500 ms, with no
// limit on tries, for the services that failed only.
//
// If nothing in a service has changed since the last renewal that found all of the
// owner's instances, the store renews without looking at records. Otherwise it
// answers per instance:
//
//   - Lost: the backend does not have it, or an older write of it. It is written
//     again with its old registration time, unless a tombstone or a newer owner
//     stands against that (reregister.go). Lost registrations are written by a
//     goroutine of their own, in batches of bounded size, so that heartbeats go on
//     however much is to be written; small services do not wait for large ones.
//   - Superseded: a newer owner has the ID. The heartbeat stops, and loss.go tells
//     the listeners.
//   - Deregistered: another registry deregistered it. The heartbeat stops, too.
//
// A registration is (registration time, owner). The time is the backend's at the
// first write. Of two registrations of one ID by different owners the greater
// stands. Of one owner's own calls the later stands, by a sequence number, in
// whatever order they are answered. A Register whose context ended is removed
// again in the background (rollback.go). Every 8 hours a registration is written in
// full though it was not lost, so that the index that finds its ID does not expire.
//
// # State and reads
//
// The state of a service (state.go) is what the backend reported last: a revision
// and its records. A read tells the store the revision that is known, and the
// store answers with Unchanged, with what changed since, or with the full state
// (revision.go, shared_read.go). At most one read of a service is under way. A caller shares
// only a read that starts after its call.
//
// A push carries the revision that it follows (push.go). One that does not follow
// the state shows a gap, and the service is read again. Pushes that arrive during
// a read wait for its answer.
//
// Reads say what the backend holds and retain nothing. While the backend refuses
// writes, they fail rather than report an absence that may not be true. Right after
// an outage that this process noticed, they wait for at most 600 ms until what was
// listed before is back (outage.go).
//
// # Watches drop an instance only on evidence
//
// All watches of one service share a hub (hub.go). It shows the state and, in
// addition, instances that it retains (retained.go). When an instance was shown
// and the backend does not list it any longer, one function decides what happens
// to it: decide, in drop_rule.go.
//
//	the backend says                                 connected           disconnected
//	tombstone: deregistered, or moved to another     dropped at once     dropped at once
//	    service
//	a newer registration of the ID                   replaced at once    replaced at once
//	tombstone: expired                               shown for 600 ms,   retained
//	                                                 then dropped
//	nothing: the record is missing                   retained            retained
//	the lease has ended, and it refuses writes       shown, Stale        shown, Stale
//
// These are the states of one instance in a hub, by the names of the decisions:
//
//	                   listed again
//	     ┌──────────────────┬──────────────────────┐
//	     ▼                  │                      │
//	┌────────┐  expired   ┌─┴───────────────┐      │
//	│ listed │ ─────────► │ retainAsExpired │      │
//	└─┬───┬──┘            └─┬──────────┬────┘      │
//	  │   │ missing, or     │ discon-  │           │
//	  │   │ disconnected    ▼ nected   │           │
//	  │   └─────► ┌──────────────┐     │           │
//	  │           │ retainAsLost ├─────┼───────────┘
//	  │           └───────┬──────┘     │
//	  │ deregistered      │ grace      │ 600 ms
//	  ▼ or moved          ▼ period     ▼ are over
//	┌─────────────────────────────────────┐
//	│                drop                 │
//	└─────────────────────────────────────┘
//
// A deregistration or a move drops an instance from every state. The end of a grace
// period does only after a read that proved that owners could write, and not while
// the hub is disconnected: then the grace period begins again.
//
// Evidence is a tombstone whose registration time is not older than the instance's.
// An expiry is evidence only if the backend accepted a write after the end of the
// lease: until then its owner may have tried to renew it without success.
//
// Expired while connected: an owner that was delayed together with the backend, by
// a stall that no reader noticed, tries again at most 500 ms later. So a watch
// believes an expiry only after it stood for 600 ms, by a read of its own.
//
// Retained as lost: the instance stays, and the state is Stale, for a grace period
// in which its owner can register again: the greater of its TTL and its heartbeat
// interval + 1 s; records carry both. Then a read that still lacks it ends the grace
// period, if the read proved with a write that owners could register. So a true
// zero is still seen. The catalog does not know heartbeat intervals, and assumes at
// least two heartbeats per TTL.
//
// Disconnected is a hub whose last read failed or found writes refused, that heard
// nothing for longer than a heartbeat interval + 1 s, or that saw the backend's
// clock run ahead of the process's by more than a second (connectivity.go,
// backend_clock.go). After a freeze every lease has ended although every owner
// lives: then an expiry is no evidence.
//
// A read that failed at once is tried again before a watch shows it. One that took
// more than 150 ms, or a second failure, makes the state Stale. Retries follow
// after 25 to 500 ms.
//
// Nothing here waits for a push. Once per heartbeat interval all watched services
// are compared with the backend, in one batch of reads (periodic_check.go). A timer
// reads at the earliest known expiry. If a check finds a change that no push
// announced, the subscription is replaced.
//
// # Drains and watcher leases
//
// A record has an overlay, which any process may patch (overlay_patch.go). An
// owner's writes keep it. The owner learns it with its renewals, and writes it
// again with the rest after a loss.
//
// Each process that watches a service holds a watcher lease (watcher_lease.go),
// which is renewed with the checks (watcher_lease_renewal.go), and which says which
// revision all its subscribers have acknowledged. A subscriber acknowledges a state
// by asking for the next (acknowledgement.go).
//
// Drain patches the overlay and then asks, at growing intervals up to 200 ms, how
// many leased processes lag behind that revision, until none does (drain.go). Once
// a second it makes sure that the patch still stands, because the backend may have
// lost it. A process that died no longer counts once its lease has ended.
//
// A new watch takes its lease before its first read, and no subscriber is handed a
// state unless the lease has stood since before the state was read. When the lease
// may have ended (the process was stalled) or may have been lost (a read brings a
// full state instead of what changed), subscribers wait until the lease is
// confirmed, or taken again and the state read under it. If that fails they are
// handed the last known state, Stale. While lost instances are retained, nothing
// newer counts as acknowledged. The last watch of a service gives its lease up,
// with retries until it has ended; Close gives up those that are left.
//
// A drain that waits when the backend loses its memory goes on waiting for a
// heartbeat interval + 1 s, and for the leases of the processes that lagged. A
// drain that begins right after a loss waits as long before it believes that it
// knows all watching processes.
//
// # Goroutines
//
// The heartbeat loop starts with the first Register, the check loop with the first
// watch; a local store needs neither. A goroutine for lost registrations, and one
// for watcher leases, runs while there are some. A watched service has one timer.
// A watch runs on its caller's goroutine. Neither an instance nor a watch has a
// goroutine or a timer. Close waits for all of them.
package core
