package store

import "math"

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

// Row says what stands of an ID where a call comes to, seen by its caller.
type Situation string

// NoSeq is the number of a call that comes after all others of its owner.
const LatestSeq = math.MaxUint64

// Newer reports whether, of two owners' registrations of one ID, the first is newer.
func Newer(stamp int64, owner string, thanStamp int64, thanOwner string) bool {
	return stamp > thanStamp || stamp == thanStamp && owner > thanOwner
}

// Stands returns the row for call number seq of owner, about its registration of
// the time stamp; 0 where a call has none, which makes others newer. At most one
// of rec and tomb is not nil.
func SituationOf(owner string, seq uint64, stamp int64, rec *Record, tomb *Tombstone) Situation {
	of := func(standing uint64) string {
		switch {
		case standing > seq:
			return "later call"
		case standing == seq:
			return "same call"
		}
		return "earlier call"
	}
	switch {
	case rec == nil && tomb == nil:
		return "nothing"
	case rec != nil && rec.Owner != owner:
		if Newer(rec.RegisteredAt, rec.Owner, stamp, owner) {
			return "other's newer record"
		}
		return "other's older record"
	case rec != nil:
		return Situation("own record, " + of(rec.Seq))
	case tomb.Owner != owner:
		if Newer(tomb.RegisteredAt, tomb.Owner, stamp, owner) {
			return Situation("other's newer " + string(tomb.Reason))
		}
		return Situation("other's older " + string(tomb.Reason))
	case tomb.Reason == ReasonExpired:
		return Situation("own expired, " + of(tomb.Seq))
	case tomb.Seq >= seq:
		return Situation("own " + string(tomb.Reason) + ", later or same call")
	case tomb.Reason == ReasonDeregistered && tomb.RegisteredAt < stamp:
		return "own left, earlier call, older"
	}
	return Situation("own " + string(tomb.Reason) + ", earlier call")
}

// Verdict is what a call does, or is answered.
type Verdict string

// Verdicts. In a Rule, two that are joined by "or" depend on what DESIGN.md of
// redisstore says below its table.
const (
	DoNothing      Verdict = "-"
	DoWrite        Verdict = "write"
	DoRestore      Verdict = "restore" // write, with the registration time of the tombstone
	DoExtend       Verdict = "extend"  // the lease
	DoEnd          Verdict = "end"
	DoRenumber     Verdict = "renumber" // the tombstone covers this call, too
	IsOvertaken    Verdict = "overtaken"
	IsDeregistered Verdict = "deregistered"
	IsLost         Verdict = "lost"

	WriteOrExtend     Verdict = "write or extend"
	WriteOrSuperseded Verdict = "write or superseded"
	OkOrLost          Verdict = "ok or lost"
	IsSuperseded      Verdict = "superseded"
)

// verdicts are in the order of calls.
type verdicts [6]Verdict

var calls = [6]Call{CallRegister, CallReregister, CallDeregister, CallDeregisterAny, CallMove, CallRenew}

// table says which of two writings of one ID stands. Backends follow it; the one
// on Redis has its own copy in Lua, and DESIGN.md of redisstore explains it.
var table = map[Situation]verdicts{
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

// Rule returns what a call does where a row stands.
func FencingVerdict(call Call, row Situation) Verdict {
	for i, c := range calls {
		if c == call {
			return table[row][i]
		}
	}
	return DoNothing
}
