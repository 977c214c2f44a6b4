package core

import "github.com/rollcall-sd/rollcall/internal/store"

// situation is what a watch knows of one instance that it shows.
type situation struct {
	// listed: the backend lists this registration, or a newer one of the same ID. It
	// also lists an instance whose lease has ended while it refuses writes.
	listed bool
	// tombstone is why the backend says that this registration ended; "" if it
	// says nothing. It says Expired only if it accepted a write after the end of
	// the lease: until then the owner may have tried to renew it without success.
	tombstone store.Reason
	// disconnected: owners may have been unable to renew their leases since the
	// last answer, because the backend was unavailable, refused writes or had its
	// clock set.
	disconnected bool
	// grace is the grace period of an instance that is retained already.
	grace gracePeriod
}

// gracePeriod says how far the grace period of a retained instance is.
type gracePeriod uint8

const (
	noGrace      gracePeriod = iota // the backend listed the instance until now
	graceRunning                    // its owner may still register it again
	graceOver                       // the time has passed, and a read proved that owners could write
)

// decision is what a watch does with an instance that it shows.
type decision uint8

const (
	showListed      decision = iota // show it as the backend lists it
	drop                            // do not show it any longer
	retainAsExpired                 // show it for expiryGrace, in which a delayed renewal may arrive
	retainAsLost                    // show it, Stale, for the time in which its owner registers it again
	keepRetained                    // show it until its grace period is over
)

// decide is the rule that a watch drops an instance only on evidence: a tombstone, or
// the absence of the instance after its owner had the time, and the backend accepted
// writes, to register it again (graceOver). The first row that matches applies; "-"
// matches everything:
//
//	listed  tombstone            disconnected  grace    decision
//	yes     -                    -             -        showListed
//	no      deregistered, moved  -             -        drop
//	no      -                    yes           -        retainAsLost
//	no      -                    no            over     drop
//	no      -                    no            running  keepRetained
//	no      expired              no            none     retainAsExpired
//	no      none                 no            none     retainAsLost
func decide(s situation) decision {
	switch {
	case s.listed:
		return showListed
	case s.tombstone == store.ReasonDeregistered, s.tombstone == store.ReasonMoved:
		return drop
	case s.disconnected:
		return retainAsLost
	case s.grace == graceOver:
		return drop
	case s.grace == graceRunning:
		return keepRetained
	case s.tombstone == store.ReasonExpired:
		return retainAsExpired
	}
	return retainAsLost
}

// evidence says why records ended: by ID, the tombstone with the latest registration that it covers.
type evidence map[string]store.Tombstone

// reason returns why a registration ended, "" if there is no evidence that it
// did: a tombstone that is older says nothing of it.
func (ev evidence) reason(e *Entry) store.Reason {
	if t, ok := ev[e.ID]; ok && t.RegisteredAt >= e.RegisteredAt {
		return t.Reason
	}
	return ""
}
