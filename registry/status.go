package registry

import "encoding/json"

// overlay is the part of a record that others than its owner set: health and
// draining are two facts, kept apart.
type overlay struct {
	Health Status `json:"health,omitempty"`
	Drain  bool   `json:"drain,omitempty"`
	Note   string `json:"note,omitempty"`
}

// decodeOverlay reads an overlay. What cannot be read counts as not set, so
// that it hides no instance.
func decodeOverlay(data []byte) overlay {
	var o overlay
	if len(data) > 0 && json.Unmarshal(data, &o) != nil {
		return overlay{}
	}
	return o
}

// status derives the visible status from the owner's and the overlay. What
// nobody set stays "", which counts as passing.
func (o overlay) status(own Status) Status {
	switch {
	case o.Drain:
		return StatusDraining
	case o.Health != "":
		return o.Health
	}
	return own
}
