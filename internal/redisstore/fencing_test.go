package redisstore

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// fencingCalls are the columns of the table in DESIGN.md.
var fencingCalls = []store.Call{store.CallRegister, store.CallReregister, store.CallDeregister, store.CallDeregisterAny, store.CallMove, store.CallRenew}

// designTable reads the table of DESIGN.md: verdicts by row, in the order of fencingCalls.
func designTable(t *testing.T) map[store.Situation][]store.Verdict {
	t.Helper()
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n| situation |")
	table := map[store.Situation][]store.Verdict{}
	for i, line := range strings.Split(rest, "\n") {
		if !strings.HasSuffix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if i == 0 { // what Cut left of the head
			for j, c := range cells {
				if store.Call(strings.TrimSpace(c)) != fencingCalls[j] {
					t.Fatalf("column %d is %q, want %q", j, c, fencingCalls[j])
				}
			}
			continue
		}
		if i == 1 {
			continue
		}
		row := store.Situation(strings.TrimSpace(cells[0]))
		for _, c := range cells[1:] {
			table[row] = append(table[row], store.Verdict(strings.TrimSpace(c)))
		}
	}
	return table
}

func TestFencingTable(t *testing.T) {
	table := designTable(t)
	for row, verdicts := range table {
		for i, call := range fencingCalls {
			if got := store.FencingVerdict(call, row); got != verdicts[i] {
				t.Errorf("%s where %s stands: the table in Go says %q, DESIGN.md %q", call, row, got, verdicts[i])
			}
		}
	}
	met := map[store.Situation]bool{}
	for _, s := range standings() {
		for _, call := range fencingCalls {
			row := s.row(call)
			met[row] = true
			if table[row] == nil {
				t.Errorf("DESIGN.md has no row for %q", row)
			}
		}
	}
	if len(met) != len(table) {
		t.Errorf("the combinations meet %d rows of %d", len(met), len(table))
	}
}

// The call in all combinations, with what it finds.
const (
	ruleOwner = "mmm"
	ruleSeq   = 50
)

var ruleStamp int64 = 1_700_000_000_000_000

// standing is what a call finds.
type standing struct {
	rec  *store.Record
	tomb *store.Tombstone
	flag string
}

func standings() []standing {
	all := []standing{{}}
	for _, owner := range []string{ruleOwner, "aaa", "zzz"} {
		for _, seq := range []uint64{ruleSeq - 1, ruleSeq, ruleSeq + 1} {
			for _, stamp := range []int64{ruleStamp - 1, ruleStamp, ruleStamp + 1} {
				for _, flag := range []string{"0", "1"} {
					all = append(all, standing{rec: &store.Record{ID: "i", Owner: owner, Seq: seq, RegisteredAt: stamp, Payload: []byte("x")}, flag: flag})
					for _, reason := range []store.Reason{store.ReasonDeregistered, store.ReasonExpired, store.ReasonMoved} {
						all = append(all, standing{tomb: &store.Tombstone{ID: "i", Reason: reason, Owner: owner, Seq: seq, RegisteredAt: stamp}, flag: flag})
					}
				}
			}
		}
	}
	return all
}

func (s standing) row(call store.Call) store.Situation {
	seq, stamp := uint64(ruleSeq), ruleStamp
	switch call {
	case store.CallRegister, store.CallDeregisterAny:
		stamp = 0
	case store.CallRenew:
		seq = store.LatestSeq
	}
	return store.SituationOf(ruleOwner, seq, stamp, s.rec, s.tomb)
}

// text is the standing as it is stored in Redis: "record" or "tombstone" of the hash.
func (s standing) text() (record, tombstone string) {
	if s.rec != nil {
		record = fmt.Sprintf(`[1,%d,"%s",%d,30000,10000,%s,%s]`, s.rec.RegisteredAt, s.rec.Owner, s.rec.Seq, s.flag, s.rec.Payload)
	}
	if s.tomb != nil {
		tombstone = fmt.Sprintf(`["%s",%d,"%s",%d,%s]`, s.tomb.Reason, s.tomb.RegisteredAt, s.tomb.Owner, s.tomb.Seq, s.flag)
	}
	return record, tombstone
}

// before returns owner, seq and registration time of what stands.
func (s standing) before() (owner string, seq uint64, stamp int64) {
	switch {
	case s.rec != nil:
		return s.rec.Owner, s.rec.Seq, s.rec.RegisteredAt
	case s.tomb != nil:
		return s.tomb.Owner, s.tomb.Seq, s.tomb.RegisteredAt
	}
	return ruleOwner, 0, 0
}

// fencingCase is one call on one standing.
type fencingCase struct {
	standing
	call    store.Call
	same    bool // payload
	ranOnce bool // the log has the call
}

// after is the small model: the answer, what stands then, and whether readers see a change.
func (c fencingCase) after() (answer, record, tombstone string, changed bool) {
	record, tombstone = c.text()
	owner, seq, stamp := c.before()
	verdict := store.FencingVerdict(c.call, c.row(c.call))
	mine := func(stamp int64, flag string) string {
		payload := "x"
		if !c.same {
			payload = "y"
		}
		return fmt.Sprintf(`[1,%d,"%s",%d,30000,10000,%s,%s]`, stamp, ruleOwner, ruleSeq, flag, payload)
	}
	tomb := func(reason store.Reason, stamp int64, owner string, seq uint64, flag string) string {
		return fmt.Sprintf(`["%s",%d,"%s",%d,%s]`, reason, stamp, owner, seq, flag)
	}
	flag := c.flag
	if c.rec == nil && c.tomb == nil {
		flag = "0"
	} else if owner != ruleOwner {
		flag = "1"
	}
	switch verdict {
	case store.WriteOrSuperseded:
		verdict = store.DoWrite
		if c.ranOnce {
			verdict = store.IsSuperseded
		}
	case store.WriteOrExtend:
		verdict = store.DoWrite
		if c.same && (c.call == store.CallRegister || stamp == ruleStamp) {
			verdict = store.DoExtend
		}
	case store.OkOrLost:
		verdict = store.IsLost
		if stamp == ruleStamp {
			verdict = "ok"
		}
	}
	if c.ranOnce && (c.call == store.CallDeregisterAny || c.call == store.CallMove) {
		verdict = store.DoNothing
	}
	switch verdict {
	case store.DoWrite:
		if c.call == store.CallRegister {
			return "ok", mine(0, flag), "", true // the time is the server's
		}
		return "ok", mine(ruleStamp, flag), "", true
	case store.DoRestore:
		return "ok", mine(stamp, flag), "", true
	case store.DoExtend:
		c.same = true
		return "ok", mine(stamp, c.flag), "", false
	case store.DoRenumber:
		return "none", "", tomb(store.ReasonDeregistered, stamp, ruleOwner, ruleSeq, c.flag), false
	case store.DoEnd:
		answer = "none"
		if c.rec != nil {
			answer = "ok"
		}
		switch c.call {
		case store.CallMove:
			return answer, "", tomb(store.ReasonMoved, max(stamp, ruleStamp), ruleOwner, ruleSeq, flag), true
		case store.CallDeregister:
			return answer, "", tomb(store.ReasonDeregistered, max(stamp, ruleStamp), ruleOwner, ruleSeq, flag), true
		}
		if owner == ruleOwner {
			seq = ruleSeq
		}
		return answer, "", tomb(store.ReasonDeregistered, stamp, owner, seq, "1"), true
	case store.DoNothing:
		answer = "none"
	default:
		answer = string(verdict)
	}
	return answer, record, tombstone, false
}

// TestScriptsFollowTheFencingTable makes every call on every standing, and compares
// answer and effect with the model.
func TestScriptsFollowTheFencingTable(t *testing.T) {
	r := newHarness(t)
	n := 0
	for _, s := range standings() {
		for _, call := range fencingCalls {
			for _, same := range []bool{true, false} {
				if !same && s.row(call) == "own record, same call" {
					continue // a call has one payload
				}
				for _, ranOnce := range []bool{false, true} {
					c := fencingCase{standing: s, call: call, same: same, ranOnce: ranOnce}
					n++
					r.meets(fmt.Sprint("g", n), c)
					if t.Failed() {
						record, tomb := s.text()
						t.Fatalf("%s where %s stands, %s%s; same payload %v, ran %v", call, s.row(call), record, tomb, same, ranOnce)
					}
				}
			}
		}
	}
	t.Logf("%d combinations", n)
}

// callOnStanding makes a call on a standing in a service of its own.
func (r *harness) meets(service string, c fencingCase) {
	r.Helper()
	h, z, now := r.recordKey(service, "h"), r.recordKey(service, "z"), r.now()
	record, tombstone := c.text()
	fields := []any{"HSET", h, "rev", "100.other:1", "stamp", ruleStamp + 5, "seen", now, "life", now + 3_600_000_000, "@100", "100.other:1 j"}
	if c.ranOnce {
		fields = append(fields, "@99", fmt.Sprintf("99.%s:%d i", ruleOwner, ruleSeq))
	}
	r.do("ZADD", z, "+inf", "", now+testTTL.Microseconds()/2, "j")
	if record != "" {
		fields = append(fields, "+i", record, "~i", `{"o":1}`)
		r.do("ZADD", z, now+testTTL.Microseconds()/2, "i")
	}
	if tombstone != "" {
		fields = append(fields, "-i", tombstone)
		r.do("ZADD", z, -(now + testTTL.Microseconds()), "i")
	}
	fields = append(fields, "+j", `[1,7,"other",1,30000,10000,0,x]`)
	r.do(fields...)

	answer := r.ruleCall(service, c)
	want, wantRecord, wantTomb, changed := c.after()
	if answer != want {
		r.Errorf("answered %q, want %q", answer, want)
	}
	gotRecord, gotTomb := r.admin.HGet(r.Context(), h, "+i").Val(), r.admin.HGet(r.Context(), h, "-i").Val()
	if rec, err := parseRecord("i", gotRecord, "", ""); err == nil && c.call == store.CallRegister && changed && rec.RegisteredAt >= now {
		gotRecord = strings.Replace(gotRecord, micros(rec.RegisteredAt), "0", 1)
	}
	if gotRecord != wantRecord || gotTomb != wantTomb {
		r.Errorf("then stands record %q, tombstone %q; want %q, %q", gotRecord, gotTomb, wantRecord, wantTomb)
	}
	if rev := r.admin.HGet(r.Context(), h, "rev").Val(); (rev != "100.other:1") != changed {
		r.Errorf("the revision is %s, want a change: %v", rev, changed)
	}
	score, err := r.admin.ZScore(r.Context(), z, "i").Result()
	if (wantRecord+wantTomb == "") != (err != nil) || wantRecord != "" && score < float64(now) || wantTomb != "" && score > -float64(now) {
		r.Errorf("the score is %f, %v", score, err)
	}
	extended := answer == "ok" && c.call != store.CallDeregister && c.call != store.CallDeregisterAny && c.call != store.CallMove
	if wantRecord != "" && extended != (score >= float64(now+testTTL.Microseconds())) {
		r.Errorf("the lease ends %f µs after the call, want it extended: %v", score-float64(now), extended)
	}
	if overlay := r.admin.HGet(r.Context(), h, "~i").Val(); overlay != "" && (wantRecord == "" || c.rec == nil || strings.Contains(wantRecord, `"`+ruleOwner+`"`) && c.rec.Owner != ruleOwner) {
		r.Errorf("the overlay %s stands", overlay)
	}
}

// makeFencingCall makes the call and returns its outcome.
func (r *harness) ruleCall(service string, c fencingCase) string {
	r.Helper()
	keys := []string{r.recordKey(service, "h"), r.recordKey(service, "z"), r.store.keys.catalog}
	soon, prefix, payload := micros(r.now()+60_000_000), r.store.keys.prefix, "x"
	if !c.same {
		payload = "y"
	}
	switch c.call {
	case store.CallRegister:
		return text(r.call(putScript, append(keys, r.store.keys.catalog), ruleOwner, service, prefix, 1,
			ruleSeq, "i", "n", 0, 30000, 10000, payload, "", "", soon, "-"), 2)
	case store.CallReregister:
		return text(r.call(putScript, append(keys, r.store.keys.catalog), ruleOwner, service, prefix, 1,
			ruleSeq, "i", "h", ruleStamp, 30000, 10000, payload, "", "", soon, "-"), 2)
	case store.CallRenew:
		return text(r.call(renewScript, keys, ruleOwner, ruleSeq, service, "", 30000, soon,
			packIDs([]store.Lease{{ID: "i"}}), packStamps([]store.Lease{{RegisteredAt: ruleStamp}})), 3)
	}
	mode := map[store.Call]string{store.CallDeregister: "own", store.CallDeregisterAny: "any", store.CallMove: "moved"}[c.call]
	return text(r.call(removeScript, append(keys, r.store.keys.idIndex("i")), ruleOwner, ruleSeq, service, prefix, "i", soon, mode, ruleStamp), 2)
}
