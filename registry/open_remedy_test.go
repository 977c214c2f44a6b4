package registry_test

import (
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Each error of Open says what to do about it.
func TestOpenSaysWhatToDo(t *testing.T) {
	server := redistest.Start(t)
	for url, remedy := range map[string]string{
		"redis://api:wrong@" + server.Addr(): "check the user and the password",
		"redis://" + server.Addr() + "/999":  "choose a database that the server has",
		"redis+cluster://" + server.Addr():   "a redis:// URL for one server",
		"redis://127.0.0.1:1":                "check that Redis runs there",
	} {
		if _, err := registry.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("error %v does not say %q", err, remedy)
		}
	}
}
