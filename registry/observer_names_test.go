package registry

import (
	"testing"

	"github.com/rollcall-sd/rollcall/internal/core"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// The public reasons of a resync are those that the engine and the stores give.
func TestResyncReasonsAreThoseOfTheEngine(t *testing.T) {
	for reason, internal := range map[ResyncReason]string{
		ResyncStart: core.ResyncStart, ResyncCheck: core.ResyncCheck, ResyncExpiry: core.ResyncExpiry,
		ResyncGap: store.ResyncGap, ResyncConnected: store.ResyncConnected,
	} {
		if string(reason) != internal {
			t.Errorf("the engine gives %q for the reason %q", internal, reason)
		}
	}
}
