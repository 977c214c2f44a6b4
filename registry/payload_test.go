package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func typicalService() ServiceInfo {
	return ServiceInfo{
		ID: "8f14e45f-ceea-467f-a8d5-6f9a9e2b7c11", Name: "payments-api", Version: "v2.3.1",
		Address: "10.42.17.203", Port: 8080, HealthEndpoint: "/health/ready",
		Metadata: map[string]string{"zone": "eu-west-1a", "env": "production", "commit": "9f2c1ab"},
	}
}

func TestEncodeServiceIsReadable(t *testing.T) {
	s := typicalService()
	s.Tags, s.Weight, s.Status = []string{"a", "<b>&"}, 3, StatusWarning
	s.Extensions = map[string]string{`q"\`: "名\u2028"}
	got, err := encodeService(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":"v2.3.1","address":"10.42.17.203","port":8080,"health":"/health/ready",` +
		`"metadata":{"commit":"9f2c1ab","env":"production","zone":"eu-west-1a"},"tags":["a","<b>&"],` +
		`"weight":3,"status":"warning","extensions":{"q\"\\":"名` + "\u2028" + `"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEncodedSize(t *testing.T) {
	data, err := encodeService(typicalService())
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 180 {
		t.Errorf("a typical instance takes %d bytes: %s", len(data), data)
	}
}

func TestEqualServicesEncodeEqually(t *testing.T) {
	a, b := typicalService(), typicalService()
	b.Metadata = make(map[string]string, 100)
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(a.Metadata))) {
		b.Metadata[k] = a.Metadata[k]
	}
	b.Tags, b.Extensions = []string{}, map[string]string{}
	b.RegisteredAt, b.ID = time.Now(), "another"
	first, _ := encodeService(a)
	second, _ := encodeService(b)
	if string(first) != string(second) {
		t.Errorf("%s\n%s", first, second)
	}
	if empty, err := encodeService(ServiceInfo{}); string(empty) != "{}" || err != nil {
		t.Errorf("got %s, %v", empty, err)
	}
}

func TestEncodeServiceRefusesInvalidUTF8(t *testing.T) {
	s := typicalService()
	s.Metadata["k"] = "\xff"
	if data, err := encodeService(s); err == nil {
		t.Errorf("got %s", data)
	}
}

func TestDecodeService(t *testing.T) {
	for _, data := range []string{
		`{"address":"a","port":1}`,
		` { "port" : 1, "address" : "a" } `,
		`{"address":"a","port":1,"next":{"deep":[1,null]}}`,
		`{"address":"\u0061","port":1,"tags":[],"metadata":null}`,
		`{"address":"b","port":1,"address":"a"}`,
	} {
		got, err := decodeService("n", "i", 1_700_000_000_000_001, []byte(data), nil)
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		if got.Address != "a" || got.Port != 1 || got.Name != "n" || got.ID != "i" || len(got.Metadata)+len(got.Tags) != 0 {
			t.Errorf("%s: got %+v", data, got)
		}
		if got.RegisteredAt.UnixMicro() != 1_700_000_000_000_001 || got.RegisteredAt.Location() != time.UTC {
			t.Errorf("RegisteredAt is %v", got.RegisteredAt)
		}
	}
}

func TestDecodeServiceRefusesGarbage(t *testing.T) {
	for _, data := range []string{
		``, `null`, `{}`, `[]`, `1`, `"a"`, `{`, `{"address":"a","port":1`, `{"address":"a","port":1}}`,
		`{"address":"a","port":1}x`, `{"address":"a"}`, `{"port":1}`, `{"address":"a","port":0}`,
		`{"address":"a","port":70000}`, `{"address":"a","port":1.5}`, `{"address":"a","port":"1"}`,
		`{"address":"a","port":1234567890123}`, `{"address":"a","port":01}`, `{"address":"a","port":-1}`,
		`{"address":"a\u0000","port":1}`, "{\"address\":\"a\nb\",\"port\":1}", "{\"address\":\"\xff\",\"port\":1}",
		`{"address":"a","port":1,"weight":-1}`, `{"address":"a","port":1,"status":"dead"}`,
		`{"address":"a","port":1,"tags":[""]}`, `{"address":"a","port":1,"tags":"x"}`,
		`{"address":"a","port":1,"metadata":{"k":1}}`, `{"address":"a","port":1,}`, `{"address":"a",,"port":1}`,
		`{"address":"a","port":1,"version":"` + strings.Repeat("v", MaxVersionBytes+1) + `"}`,
		`{"address":"a","port":1,"next":"` + strings.Repeat("v", maxPayloadBytes) + `"}`,
	} {
		if got, err := decodeService("n", "i", 0, []byte(data), nil); err == nil {
			t.Errorf("%.80s: got %+v", data, got)
		}
	}
	good := []byte(`{"address":"a","port":1}`)
	for _, record := range [][2]string{{"", "i"}, {"n", ""}, {"n\n", "i"}, {"n", "\xff"}} {
		if _, err := decodeService(record[0], record[1], 0, good, nil); err == nil {
			t.Errorf("record %q was accepted", record)
		}
	}
}

// Another version of the library may have stored an address that this one refuses.
func TestDecodeServiceKeepsInstancesAtOddAddresses(t *testing.T) {
	for _, address := range []string{"[::1]", "0.0.0.0", "api.example:80", "http://api.example", " 127.0.0.1"} {
		got, err := decodeService("n", "i", 0, []byte(`{"address":"`+address+`","port":1}`), nil)
		if err != nil || got.Address != address {
			t.Errorf("a record with the address %q is read as %q, error %v", address, got.Address, err)
		}
	}
}

// What encodeService writes must not need the slower encoding/json.
func TestScanPayloadReadsWhatIsWritten(t *testing.T) {
	s := typicalService()
	s.Tags, s.Weight, s.Status = []string{"a", `"`}, MaxWeight, StatusPassing
	s.Extensions = map[string]string{"": `\`, "名": "前"}
	data, err := encodeService(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := scanPayload(string(data), nil); !ok {
		t.Errorf("not read: %s", data)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"version":"v","address":"a","port":80,"health":"/","metadata":{"a":"b","":""},"tags":["x"],"weight":1,"status":"passing","extensions":{"\"":"\\"}}`,
		`{"address":"a","port":1,"Address":"b"}`, `{"port":0123}`, `{"port":1234567890}`, `{"address":"\ud800\n"}`, `{}`, `{"tags":[]}`,
		`{"metadata":{"a":"1","a":"2"}}`, `{"metadata":{"a":"1"},"metadata":{"b":"2"}}`, `{"address":null}`, "{\"address\":\"\x7f\u0085\"}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		if got, err := decodeService("n", "i", 1, []byte(data), nil); err == nil {
			if err := validateRecord(got); err != nil {
				t.Fatalf("%q was accepted: %v", data, err)
			}
		}
		if !utf8.ValidString(data) {
			return
		}
		var cache metadataShard
		got, ok := scanPayload(data, &cache)
		again, okAgain := scanPayload(data, &cache) // finds what the first call cached
		if ok != okAgain || !reflect.DeepEqual(got, again) {
			t.Fatalf("%q:\nscanned %v %+v\nagain   %v %+v", data, ok, got, okAgain, again)
		}
		if !ok {
			return
		}
		var want payload
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatalf("%q: scanned, but encoding/json says %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q:\nscanned       %+v\nencoding/json %+v", data, got, want)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("api", "id", "1.0", "10.0.0.1", 80, "/h", "k", "v", "tag", 1)
	f.Add(`{a}:b*`, "名前", "", "::1", 65535, "", "", "", `"\`, 0)
	f.Add("a b", "\u2028", "<&>", "h", 1, "\\u0041", "\ufffd", "\x7f", " ", MaxWeight)
	f.Fuzz(func(t *testing.T, name, id, version, address string, port int, health, key, value, tag string, weight int) {
		s := ServiceInfo{
			Name: name, ID: id, Version: version, Address: address, Port: port, HealthEndpoint: health,
			Metadata: map[string]string{key: value, "fixed": "x"}, Tags: []string{tag, "fixed"}, Weight: weight,
			Extensions: map[string]string{value: key}, RegisteredAt: time.UnixMicro(42).UTC(),
		}
		if validateService(s) != nil || validateID(id) != nil {
			return
		}
		data, err := encodeService(s)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(data) || strings.Contains(string(data), "\n") {
			t.Fatalf("%q is not one line of JSON", data)
		}
		if _, ok := scanPayload(string(data), nil); !ok {
			t.Fatalf("%s is not read by scanPayload", data)
		}
		got, err := decodeService(name, id, 42, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, s) {
			t.Fatalf("got  %+v\nwant %+v", got, s)
		}
	})
}

func BenchmarkDecodeService(b *testing.B) {
	data, err := encodeService(typicalService())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodeService("n", "i", 1, data, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p payload
			if err := json.Unmarshal(data, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeService(b *testing.B) {
	s := typicalService()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeService(s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEqualMetadataIsShared(t *testing.T) {
	cache := new(metadataCache).shard("n")
	decode := func(change func(*ServiceInfo)) ServiceInfo {
		t.Helper()
		s := typicalService()
		change(&s)
		data, err := encodeService(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeService("n", "i", 1, data, cache)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got.Metadata, s.Metadata) || got.Version != s.Version || got.Weight != s.Weight {
			t.Fatalf("got %+v, want %+v", got, s)
		}
		return got
	}
	shared := func(a, b ServiceInfo) bool {
		return reflect.ValueOf(a.Metadata).UnsafePointer() == reflect.ValueOf(b.Metadata).UnsafePointer()
	}
	first := decode(func(*ServiceInfo) {})
	second := decode(func(s *ServiceInfo) { s.Version, s.Weight = "v3", 7 })
	if !shared(first, second) {
		t.Error("equal metadata is stored twice")
	}
	// A caller of Discover can change one copy without the other.
	mine := cloneServices([]ServiceInfo{first, second})
	mine[0].Metadata["zone"] = "changed"
	if mine[1].Metadata["zone"] == "changed" || first.Metadata["zone"] == "changed" {
		t.Error("a change of a copy reached another's metadata")
	}
	// Only the last few are cached.
	for i := range 100 {
		decode(func(s *ServiceInfo) { s.Metadata = map[string]string{"commit": fmt.Sprint(i)} })
	}
	if shared(first, decode(func(*ServiceInfo) {})) {
		t.Error("what 100 others came after is still remembered")
	}
	long := func(s *ServiceInfo) { s.HealthEndpoint = "/" + strings.Repeat("h", MaxHealthEndpointBytes-1) }
	if shared(decode(long), decode(long)) {
		t.Error("a long payload is remembered")
	}
}
