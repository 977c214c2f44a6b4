package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// fleet registers instances of two services, one of each status.
func fleet(t *testing.T, url string) {
	t.Helper()
	backend := open(t, url)
	registerAll(t, backend,
		registry.ServiceInfo{ID: "api-1", Name: "api", Address: "10.0.0.1", Port: 8080, Version: "1.2.0",
			Tags: []string{"blue", "canary"}, Metadata: map[string]string{registry.MetadataZone: "eu-1"}},
		registry.ServiceInfo{ID: "api-22", Name: "api", Address: "10.0.0.22", Port: 8080, Status: registry.StatusWarning},
		registry.ServiceInfo{ID: "api-3", Name: "api", Address: "2001:db8::3", Port: 80},
		registry.ServiceInfo{ID: "api-4", Name: "api", Address: "10.0.0.4", Port: 8080},
		registry.ServiceInfo{ID: "web", Name: "名前", Address: "10.0.1.1", Port: 443, Weight: 3, HealthEndpoint: "/health"})
	if err := backend.SetStatus(t.Context(), "api-3", registry.StatusCritical, "disk full"); err != nil {
		t.Fatal(err)
	}
	if err := backend.SetStatus(t.Context(), "api-4", registry.StatusDraining, ""); err != nil {
		t.Fatal(err)
	}
}

func TestListsServices(t *testing.T) {
	url := redisWithPassword(t)
	fleet(t, url)
	r := rollcall(t, url, "ls")
	r.want(t, 0, strings.TrimPrefix(`
SERVICE  PASSING  WARNING  CRITICAL  DRAINING
api      1        1        1         1
名前       1        0        0         0
`, "\n"), "")
	r = rollcall(t, url, "ls", "--json")
	r.want(t, 0, `[{"service":"api","passing":1,"warning":1,"critical":1,"draining":1},`+
		`{"service":"名前","passing":1,"warning":0,"critical":0,"draining":0}]`+"\n", "")
}

func TestListsInstances(t *testing.T) {
	url := redisWithPassword(t)
	fleet(t, url)
	r := rollcall(t, url, "get", "api")
	const golden = `
ID      ADDRESS           STATUS    VERSION  ZONE  TAGS         AGE  EXPIRES  NOTE
api-1   10.0.0.1:8080     passing   1.2.0    eu-1  blue,canary  T    in T
api-22  10.0.0.22:8080    warning   -        -     -            T    in T
api-3   [2001:db8::3]:80  critical  -        -     -            T    in T     disk full
api-4   10.0.0.4:8080     draining  -        -     -            T    in T
`
	if got, want := fields(r.out), fields(golden); got != want || r.code != 0 || r.err != "" {
		t.Errorf("exit code %d, stderr %q, stdout\n%s\nwant\n%s", r.code, r.err, r.out, golden)
	}
	r = rollcall(t, url, "get", "api", "--json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || len(list) != 4 {
		t.Fatalf("%v: %d instances in %q", err, len(list), r.out)
	}
	for _, instance := range list {
		for _, key := range []string{"registered_at", "expires_at"} {
			if _, err := time.Parse(time.RFC3339, instance[key].(string)); err != nil {
				t.Error(err)
			}
			delete(instance, key)
		}
	}
	first, err := json.Marshal(list[0])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"address":"10.0.0.1","health_endpoint":"","id":"api-1","metadata":{"zone":"eu-1"},"note":"","port":8080,` +
		`"service":"api","status":"passing","tags":["blue","canary"],"version":"1.2.0","weight":1}`
	if string(first) != want {
		t.Errorf("the first instance is\n%s\nwant\n%s", first, want)
	}
	if bare, _ := json.Marshal(list[2]); !strings.Contains(string(bare), `"tags":[]`) || !strings.Contains(string(bare), `"metadata":{}`) ||
		!strings.Contains(string(bare), `"note":"disk full"`) {
		t.Errorf("the third instance is %s", bare)
	}
}

// fields separates the columns of a table by one "|": their widths vary with their
// values, such as an age.
func fields(text string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(varying.ReplaceAllString(text, "T"))) {
		lines = append(lines, strings.Join(strings.Fields(line), "|"))
	}
	return strings.Join(lines, "\n")
}

// A backend that does not answer is a failure, never an empty list.
func TestUnavailableBackend(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"ls"}, {"ls", "--json"}, {"get", "api"}, {"watch", "api"}, {"deregister", "x"}, {"drain", "x"}, {"undrain", "x"},
		{"maint", "x", "on"}, {"register", "--name", "a", "--port", "1"},
	} {
		r := rollcall(t, "redis://user:secret@"+address, args...)
		r.want(t, 1, "", address)
		if r.out != "" || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q printed %q and %q", args, r.out, r.err)
		}
	}
}

func TestTable(t *testing.T) {
	list := table{header: []string{"A", "BC"}, rows: [][]cell{
		{{"long", ""}, {"x", styleRed}},
		{{"s\x1b[2Js", styleGreen}, {"", ""}},
	}}
	if got, want := list.format(false), "A       BC\nlong    x\ns�[2Js\n"; got != want {
		t.Errorf("without color %q, want %q", got, want)
	}
	if got, want := list.format(true), "\x1b[2mA\x1b[0m       \x1b[2mBC\x1b[0m\nlong    \x1b[31mx\x1b[0m\n\x1b[32ms�[2Js\x1b[0m\n"; got != want {
		t.Errorf("with color %q, want %q", got, want)
	}
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3 * time.Hour: "3h00m", 49 * time.Hour: "2d01h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
