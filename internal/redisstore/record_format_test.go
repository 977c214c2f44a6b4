package redisstore

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestRecordRoundTrip(t *testing.T) {
	const value = `[1,1234567890123457,"alpha",42,30000,10000,1,{"address":"10.0.0.1","tags":["a,b","]"]}]`
	r, err := parseRecord("i", value, `{"o":1}`, "1234567890123999")
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "i" || r.RegisteredAt != 1234567890123457 || r.Owner != "alpha" || r.Seq != 42 || r.TTL != 30*time.Second || r.HeartbeatInterval != 10*time.Second ||
		string(r.Payload) != `{"address":"10.0.0.1","tags":["a,b","]"]}` || string(r.Overlay) != `{"o":1}` || r.ExpiresAt != 1234567890123999 {
		t.Errorf("it reads as %+v", r)
	}
}

func TestBadRecordsAreErrors(t *testing.T) {
	for _, value := range []string{
		"", "[", "[]", "[1]", "[1,", "garbage", `[2,1,"a",1,1,1,0,{}]`, `[1,1,"a",1,1,1,0,{}`, `[1,1,"a",1,1,1,0]`, `[1,1,a,1,1,1,0,{}]`,
		`[1,x,"a",1,1,1,0,{}]`, `[1,-1,"a",1,1,1,0,{}]`, `[1,1,"a",1,1e3,1,0,{}]`, `[1,99999999999999999999,"a",1,1,1,0,{}]`,
		strings.Repeat("[1,", 10000),
	} {
		if r, err := parseRecord("i", value, "", ""); err == nil {
			t.Errorf("%.60q reads as %+v", value, r)
		}
	}
}

func TestScores(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1795416294814490": 1795416294814490, "-1795416294814490": -1795416294814490, "1.795416294814490e+15": 1795416294814490,
		"inf": 0, "-inf": 0, "+inf": 0, "nan": 0, "": 0, "x": 0, "1e300": 0,
	} {
		if got := parseScore(text); got != want {
			t.Errorf("parseScore(%q) = %d, want %d", text, got, want)
		}
	}
}

// FuzzRecord feeds the decoders what any program may have written into Redis,
// which must not panic; what they accept must survive being written again.
func FuzzRecord(f *testing.F) {
	f.Add("i", `[1,17,"alpha",3,30000,10000,0,{"address":"a"}]`, `{"o":1}`, "1795416294814490")
	f.Add("-", `["left",17,"alpha",1]`, "", "inf")
	f.Add("i", "1.a:1\n2.b:1\n17\n+i\n1795416294814490\n[1,17,\"alpha\",3,30000,10000,0,{}]\n\n-j\n[\"left\",17,\"a\",0]", "", "")
	f.Add("i", "1.a:1\n2.b:1\n17\n", "", "-1")
	f.Add("", "[1,,\"\",,,,,]", "\n", "1e20")
	f.Fuzz(func(t *testing.T, id, value, overlay, score string) {
		if r, err := parseRecord(id, value, overlay, score); err == nil {
			if r.RegisteredAt < 0 || r.TTL < 0 || r.HeartbeatInterval < 0 || r.ID != id {
				t.Errorf("%q reads as %+v", value, r)
			}
			again, err := parseRecord(id, written(r), overlay, score)
			if err != nil {
				t.Fatalf("%+v does not survive: %v", r, err)
			}
			if again.RegisteredAt != r.RegisteredAt || again.Owner != r.Owner || again.Seq != r.Seq || again.TTL != r.TTL || again.HeartbeatInterval != r.HeartbeatInterval ||
				again.ExpiresAt != r.ExpiresAt || !bytes.Equal(again.Payload, r.Payload) || !bytes.Equal(again.Overlay, r.Overlay) {
				t.Errorf("%+v comes back as %+v", r, again)
			}
		}
		if tomb, ok := parseTombstone(id, value); ok {
			again, ok := parseTombstone(id, tombstoneText(tomb))
			if !ok || again != tomb {
				t.Errorf("%+v comes back as %+v, %v", tomb, again, ok)
			}
		}
		if n, ok := parseMessage(value); ok {
			if n.Reading.Kind != store.Delta || n.Reading.Rev == "" || len(n.Reading.Records)+len(n.Reading.Tombstones)+len(n.Reading.Malformed) == 0 {
				t.Errorf("%q reads as %+v", value, n)
			}
		}
		message(t, id, overlay, score)
	})
}

func written(r *store.Record) string {
	return fmt.Sprintf(`[1,%d,"%s",%d,%d,%d,0,%s]`, r.RegisteredAt, r.Owner, r.Seq, r.TTL.Milliseconds(), r.HeartbeatInterval.Milliseconds(), r.Payload)
}

func tombstoneText(t store.Tombstone) string {
	return fmt.Sprintf(`["%s",%d,"%s",0]`, t.Reason, t.RegisteredAt, t.Owner)
}

// message builds the message of a change as the scripts do, and parses it.
func message(t *testing.T, id, overlay, score string) {
	if strings.Contains(id+overlay+score, "\n") {
		return // control characters are refused long before
	}
	r := &store.Record{RegisteredAt: 17, Owner: "alpha", Seq: 3, TTL: time.Second, HeartbeatInterval: time.Second, Payload: []byte(`{"address":"a"}`)}
	tomb := store.Tombstone{Reason: store.ReasonDeregistered, RegisteredAt: 16, Owner: "beta"}
	n, ok := parseMessage("1.a:1\n2.b:1\n99\n+" + id + "\n" + score + "\n" + written(r) + "\n" + overlay + "\n-" + id + "\n" + tombstoneText(tomb))
	if !ok || n.PreviousRev != "1.a:1" || n.Reading.Rev != "2.b:1" || n.Reading.Now != 99 || len(n.Reading.Records) != 1 || len(n.Reading.Tombstones) != 1 {
		t.Fatalf("a message on %q reads as %+v, %v", id, n, ok)
	}
	got := n.Reading.Records[0]
	if got.ID != id || string(got.Overlay) != overlay || got.RegisteredAt != 17 || n.Reading.Tombstones[0].ID != id || n.Reading.Tombstones[0].Reason != store.ReasonDeregistered {
		t.Errorf("a message on %q reads as %+v and %+v", id, got, n.Reading.Tombstones[0])
	}
}

// FuzzReply feeds the parsers of the scripts' replies.
func FuzzReply(f *testing.F) {
	f.Add("17", "1.a:1", "delta", "i", `[1,17,"alpha",3,30000,10000,0,{}]`, "1795416294814490")
	f.Add("17", "1.a:1", "full", "+i", `[1,17,"alpha",3,30000,10000,0,{}]`, "1795416294814490")
	f.Add("", "", "none", "", "", "")
	f.Fuzz(func(t *testing.T, now, rev, kind, a, b, c string) {
		st := &Store{}
		for _, reply := range [][]any{
			{now, rev, kind},
			{now, rev, kind, a, []any{b}, c, []any{a, b, c, a, b}},
			{now, rev, kind, a, []any{b}, []any{a, b, c, a, b}},
			{now, rev, kind, a, []any{b}, "", []any{a, b, "+" + a, b, "~" + a, c, "-" + a, b}, []any{a, c, "", "inf"}},
			{now, rev, kind, int64(3), []any{nil}, []any{nil, a}, []any{a}},
			{nil, nil, nil, nil, nil, nil, nil},
		} {
			if r, err := st.parseReading(parseScore(now), reply); err == nil {
				for _, rec := range r.Records {
					if rec == nil || rec.ExpiresAt <= 0 {
						t.Errorf("%v reads as %+v", reply, rec)
					}
				}
			}
			_, _ = st.parseCatalog(parseScore(now), []any{now, []any{a, c, b, rev}, c, now})
			_, _ = st.parseCatalog(parseScore(now), reply)
		}
	})
}
