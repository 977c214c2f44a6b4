package consulapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/waittest"
)

func TestHTTPChecks(t *testing.T) {
	var code atomic.Int32
	code.Store(200)
	var seen atomic.Pointer[http.Request]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		seen.Store(r)
		http.Redirect(w, r, "http://169.254.169.254/", int(code.Load()))
	}))
	defer server.Close()
	p := newProber(guard{})
	check := func() checkState {
		ctx, cancel := context.WithTimeout(t.Context(), waittest.Limit)
		defer cancel()
		return p.run(ctx, checkDefinitionJSON{HTTP: server.URL + "/x", Method: "POST", Body: "hello", Header: map[string][]string{"X-A": {"1", "2"}, "Host": {"name"}}})
	}
	for _, test := range []struct {
		code int32
		want string
	}{{200, "passing"}, {204, "passing"}, {429, "warning"}, {301, "critical"}, {404, "critical"}, {503, "critical"}} {
		code.Store(test.code)
		if got := check(); got.Status != test.want || !strings.Contains(got.Output, fmt.Sprint(test.code)) {
			t.Errorf("%d: %+v, want %s", test.code, got, test.want)
		}
	}
	r := seen.Load()
	body, _ := io.ReadAll(r.Body)
	if r.Method != "POST" || string(body) != "hello" || r.Host != "name" || len(r.Header["X-A"]) != 2 {
		t.Errorf("sent %s %s %v %s", r.Method, r.Host, r.Header, body)
	}
}

func TestTCPChecks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newProber(guard{})
	d := checkDefinitionJSON{TCP: l.Addr().String()}
	if got := p.run(t.Context(), d); got.Status != "passing" {
		t.Errorf("%+v", got)
	}
	_ = l.Close()
	if got := p.run(t.Context(), d); got.Status != "critical" {
		t.Errorf("nothing listens: %+v", got)
	}
	if got := p.run(t.Context(), checkDefinitionJSON{GRPC: l.Addr().String() + "/svc"}); got.Status != "critical" {
		t.Errorf("nothing listens: %+v", got)
	}
}

// Checks reach loopback and what is allowed, whatever a name resolves to.
func TestChecksReachOnlyWhatIsAllowed(t *testing.T) {
	wide := guard{[]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	narrow := guard{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for _, test := range []struct {
		guard guard
		addr  string
		ok    bool
	}{
		{guard{}, "127.0.0.1", true},
		{guard{}, "::1", true},
		{guard{}, "::ffff:127.0.0.1", true},
		{guard{}, "10.1.2.3", false},
		{narrow, "10.1.2.3", true},
		{narrow, "::ffff:10.1.2.3", true},
		{narrow, "10.2.2.3", false},
		{wide, "8.8.8.8", true},
		{wide, "169.254.169.254", false},
		{wide, "::ffff:169.254.169.254", false},
		{wide, "fe80::1", false},
		{wide, "fd00:ec2::254", false},
		{wide, "100.100.100.200", false},
		{wide, "0.0.0.0", false},
		{wide, "224.0.0.1", false},
	} {
		if err := test.guard.permit(netip.MustParseAddr(test.addr)); (err == nil) != test.ok {
			t.Errorf("%v, %s: %v", test.guard.allow, test.addr, err)
		}
	}
	p := newProber(guard{})
	for _, d := range []checkDefinitionJSON{{HTTP: "http://192.0.2.1/"}, {TCP: "192.0.2.1:80"}, {GRPC: "192.0.2.1:80"}} {
		if got := p.run(t.Context(), d); got.Status != "critical" || !strings.Contains(got.Output, "may not reach") {
			t.Errorf("%+v: %+v", d, got)
		}
	}
}

// A check that connects becomes the instance's status.
func TestAChecksResultIsTheStatus(t *testing.T) {
	var failing atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	d := start(t, localBackend(t), "n1")
	d.register(fmt.Sprintf(`{"Name":"api","Port":80,"Check":{"HTTP":%q,"Interval":"1s"}}`, server.URL))
	waittest.Eventually(t, "the check to pass", func() bool { return len(d.health("api?passing")) == 1 })
	failing.Store(true)
	waittest.Eventually(t, "the check to fail", func() bool { return len(d.health("api?passing")) == 0 })
}

func TestNotesCarryTheStatesOfChecks(t *testing.T) {
	ids := []string{"service:a b:1", "x | y", "c"}
	states := map[string]checkState{
		ids[0]: {"critical", "line 1\nline 2 | with: marks"}, ids[1]: {"passing", ""}, ids[2]: {"warning", strings.Repeat("é", 3000)},
	}
	note := encodeNote(ids[:1], states)
	if got := decodeNote(note, func(id string) bool { return id == ids[0] }); got[ids[0]] != (checkState{"critical", "line 1 line 2 / with: marks"}) {
		t.Errorf("%q is read as %+v", note, got)
	}
	ids = []string{ids[0], ids[2]}
	note = encodeNote(ids, states)
	got := decodeNote(note, func(string) bool { return true })
	if len(note) > 1024 || got[ids[0]].Status != "critical" || got["c"].Status != "warning" || !strings.HasPrefix(got["c"].Output, "ééé") {
		t.Errorf("%d bytes, read as %+v", len(note), got)
	}
	if got := decodeNote("disk full", func(string) bool { return true }); len(got) != 0 {
		t.Errorf("a note by hand is read as %+v", got)
	}
}
