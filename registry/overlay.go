package registry

import "encoding/json"

// overlay is the part of a record that other registries than the owner may set.
// Health and draining are separate facts, each with its own note.
type overlay struct {
	Health    Status `json:"health"`
	Note      string `json:"note"` // of the health; older versions stored a drain's note here too
	Drain     *bool  `json:"drain"`
	DrainNote string `json:"drainNote"` // removed when the drain ends
}

// Members of an overlay.
const (
	memberHealth    = "health"
	memberNote      = "note"
	memberDrain     = "drain"
	memberDrainNote = "drainNote"
)

// MaxNoteBytes bounds the note of SetStatus.
const MaxNoteBytes = 1024

// decodeOverlay reads an overlay. One that cannot be read counts as empty, so that it
// hides no instance.
func decodeOverlay(data []byte) overlay {
	if len(data) == 0 {
		return overlay{}
	}
	var o overlay
	if json.Unmarshal(data, &o) != nil {
		return overlay{}
	}
	return o
}

// status returns the visible status of an instance whose owner set own.
func (o overlay) status(own Status) Status {
	draining := own == StatusDraining
	if o.Drain != nil {
		draining = *o.Drain
	}
	switch {
	case draining:
		return StatusDraining
	case o.Health != "":
		return o.Health
	case own == StatusDraining:
		return StatusPassing // undrained
	}
	return own
}

// note returns the note of the fact that makes the visible status. For a drain
// without a note that is the note of the health.
func (o overlay) note(visible Status) string {
	if visible == StatusDraining && o.DrainNote != "" {
		return o.DrainNote
	}
	return o.Note
}

// jsonString returns text as JSON, or "" for "".
func jsonString(text string) string {
	if text == "" {
		return ""
	}
	b, _ := json.Marshal(text) // encoding a string cannot fail
	return string(b)
}
