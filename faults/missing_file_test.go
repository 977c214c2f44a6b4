package faults

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// The password's file is missing when the server ends all connections. It comes back
// later, with another password.
//
// Promise 7: the watch keeps the last known state, marked Stale with the file's name.
// Promise 3: all are back once the file can be read.
func TestPasswordFileIsMissing(t *testing.T) {
	t.Parallel()
	server, admin, _ := withUser(t)
	path := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(path, []byte("secret\n"), 0o600))
	log := new(logs)
	cfg, err := registry.ParseURL("redis://app@" + server.Addr() + "?" + url.Values{"password_file": {path}, "namespace": {t.Name()}}.Encode())
	must(t, err)
	cfg.TTL, cfg.HeartbeatInterval, cfg.Logger = shortTTL, shortHeartbeat, log.logger()
	r := open(t, cfg)
	register(t, r, "web", "a1", "a2")
	want := present(t, r, "web")
	seen := watch(t, r, "web")
	seen.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()

	must(t, os.Remove(path))
	server.CutAll()
	cut := time.Now()
	within(t, cut, backBy, "Discover names the file", func() error {
		if _, err := discover(r, "web"); !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), path) {
			return errors.Join(errors.New("it does not"), err)
		}
		return nil
	})
	seen.await(t, cut, backBy, "staleness with the file's name", func(s registry.Snapshot) bool {
		return s.Stale != nil && strings.Contains(s.Stale.Error(), path)
	})
	setUser(t, admin, "resetpass >hunter2")
	must(t, os.WriteFile(path, []byte("hunter2\n"), 0o600))
	restored := time.Now()
	figure(t, "password file missing: all back", within(t, restored, backBy, "all in Discover", discoversExactly(r, "web", want)))
	figure(t, "password file missing: watch current", seen.await(t, restored, 2*backBy, "a current state", is(want)))
	seen.requireKept(t, began, "a1", "a2")
	if lines := append(log.lines("secret"), log.lines("hunter2")...); len(lines) > 0 {
		t.Errorf("the log shows a password: %q", lines)
	}
}
