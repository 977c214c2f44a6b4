package store

import "math"

// Fencing decides which of two writes of one ID stands, so that an old owner cannot
// bring back or end what a newer one registered.

// Call is a kind of call that writes about one ID.
type Call string

// Calls.
const (
	CallRegister      Call = "register"
	CallReregister    Call = "reregister"
	CallDeregister    Call = "deregister"     // by the owner
	CallDeregisterAny Call = "deregister any" // by ID alone
	CallMove          Call = "move"           // the ID was registered in another service
	CallRenew         Call = "renew"
)

// Situation names what a call finds of an ID, as its caller sees it: a row of the
// fencing table.
type Situation string

// LatestSeq is the number of a call that comes after all others of its owner.
const LatestSeq = math.MaxUint64

// Newer reports whether, of two owners' registrations of one ID, the first is newer.
func Newer(registeredAt int64, owner string, thanRegisteredAt int64, thanOwner string) bool {
	return registeredAt > thanRegisteredAt || registeredAt == thanRegisteredAt && owner > thanOwner
}

// SituationOf returns what call number seq of owner finds, for its registration of
// the time registeredAt, which is 0 where the call has none: then other owners'
// registrations are newer. At most one of record and tombstone is not nil.
func SituationOf(owner string, seq uint64, registeredAt int64, record *Record, tombstone *Tombstone) Situation {
	order := func(standing uint64) string {
		switch {
		case standing > seq:
			return "later call"
		case standing == seq:
			return "same call"
		}
		return "earlier call"
	}
	switch {
	case record == nil && tombstone == nil:
		return "nothing"
	case record != nil && record.Owner != owner:
		if Newer(record.RegisteredAt, record.Owner, registeredAt, owner) {
			return "other's newer record"
		}
		return "other's older record"
	case record != nil:
		return Situation("own record, " + order(record.Seq))
	case tombstone.Owner != owner:
		if Newer(tombstone.RegisteredAt, tombstone.Owner, registeredAt, owner) {
			return Situation("other's newer " + string(tombstone.Reason))
		}
		return Situation("other's older " + string(tombstone.Reason))
	case tombstone.Reason == ReasonExpired:
		return Situation("own expired, " + order(tombstone.Seq))
	case tombstone.Seq >= seq:
		return Situation("own " + string(tombstone.Reason) + ", later or same call")
	case tombstone.Reason == ReasonDeregistered && tombstone.RegisteredAt < registeredAt:
		return "own left, earlier call, older"
	}
	return Situation("own " + string(tombstone.Reason) + ", earlier call")
}

// Verdict is what a call does, or is answered.
type Verdict string

// Verdicts. Those that are joined by "or" depend on what DESIGN.md of redisstore
// says below its table.
const (
	DoNothing      Verdict = "-"
	DoWrite        Verdict = "write"
	DoRestore      Verdict = "restore" // write, with the registration time of the tombstone
	DoExtend       Verdict = "extend"  // the lease
	DoEnd          Verdict = "end"
	DoRenumber     Verdict = "renumber" // the tombstone covers this call as well
	IsOvertaken    Verdict = "overtaken"
	IsDeregistered Verdict = "deregistered"
	IsLost         Verdict = "lost"

	WriteOrExtend     Verdict = "write or extend"
	WriteOrSuperseded Verdict = "write or superseded"
	OkOrLost          Verdict = "ok or lost"
	IsSuperseded      Verdict = "superseded"
)

// verdicts are the cells of a row, in the order of calls.
type verdicts [6]Verdict

var calls = [6]Call{CallRegister, CallReregister, CallDeregister, CallDeregisterAny, CallMove, CallRenew}

// fencingTable is explained in DESIGN.md of redisstore, whose scripts have a copy of it.
// Tests compare the table, the document and the scripts. "Left" means deregistered.
var fencingTable = map[Situation]verdicts{
	"nothing":                       {DoWrite, DoWrite, DoEnd, DoNothing, DoNothing, IsLost},
	"own record, later call":        {IsOvertaken, IsOvertaken, DoNothing, DoNothing, DoNothing, DoNothing},
	"own record, same call":         {DoExtend, DoExtend, DoNothing, DoNothing, DoNothing, DoNothing},
	"own record, earlier call":      {WriteOrExtend, WriteOrExtend, DoEnd, DoEnd, DoEnd, OkOrLost},
	"other's newer record":          {WriteOrSuperseded, IsSuperseded, DoNothing, DoEnd, DoNothing, IsSuperseded},
	"other's older record":          {WriteOrSuperseded, DoWrite, DoEnd, DoEnd, DoEnd, IsLost},
	"own left, later or same call":  {IsDeregistered, IsDeregistered, DoNothing, DoNothing, DoNothing, DoNothing},
	"own left, earlier call":        {DoWrite, IsDeregistered, DoRenumber, DoNothing, DoNothing, IsDeregistered},
	"own left, earlier call, older": {DoWrite, DoWrite, DoEnd, DoNothing, DoNothing, IsLost},
	"own expired, later call":       {IsOvertaken, IsOvertaken, DoNothing, DoNothing, DoNothing, DoNothing},
	"own expired, same call":        {DoRestore, DoWrite, DoNothing, DoNothing, DoNothing, DoNothing},
	"own expired, earlier call":     {DoWrite, DoWrite, DoEnd, DoEnd, DoEnd, IsLost},
	"own moved, later or same call": {IsOvertaken, IsOvertaken, DoNothing, DoNothing, DoNothing, DoNothing},
	"own moved, earlier call":       {DoWrite, DoWrite, DoEnd, DoNothing, DoNothing, IsLost},
	"other's newer left":            {WriteOrSuperseded, IsSuperseded, DoNothing, DoNothing, DoNothing, IsSuperseded},
	"other's older left":            {WriteOrSuperseded, DoWrite, DoEnd, DoNothing, DoNothing, IsLost},
	"other's newer expired":         {WriteOrSuperseded, IsSuperseded, DoNothing, DoEnd, DoNothing, IsSuperseded},
	"other's older expired":         {WriteOrSuperseded, DoWrite, DoEnd, DoEnd, DoEnd, IsLost},
	"other's newer moved":           {WriteOrSuperseded, IsSuperseded, DoNothing, DoNothing, DoNothing, IsSuperseded},
	"other's older moved":           {WriteOrSuperseded, DoWrite, DoEnd, DoNothing, DoNothing, IsLost},
}

// FencingVerdict returns what a call does in a situation.
func FencingVerdict(call Call, situation Situation) Verdict {
	for i, c := range calls {
		if c == call {
			return fencingTable[situation][i]
		}
	}
	return DoNothing
}
