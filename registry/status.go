package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// overlay is the part of a record that others than its owner set: health and
// draining are two facts, kept apart, each with its own note.
type overlay struct {
	Health    Status `json:"health"`
	Note      string `json:"note"` // of the health; earlier versions put a drain's note here, too
	Drain     *bool  `json:"drain"`
	DrainNote string `json:"drainNote"` // as long as the drain lasts
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

// decodeOverlay reads an overlay. What cannot be read counts as not set, so
// that it hides no instance.
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

// status derives the visible status from the owner's and the overlay.
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

// note is the note of the fact that makes the visible status. A drain without a
// note of its own leaves the one of the health in sight.
func (o overlay) note(visible Status) string {
	if visible == StatusDraining && o.DrainNote != "" {
		return o.DrainNote
	}
	return o.Note
}

// SetStatus implements Backend.
func (b *base) SetStatus(ctx context.Context, serviceID string, status Status, note string) error {
	if b.closed() {
		return failed("set the status of", serviceID, ErrClosed)
	}
	if err := validateID(serviceID); err != nil {
		return err
	}
	if p := textProblem(note, MaxNoteBytes); p != "" {
		return badService("Note", p)
	}
	var set map[string]string
	switch status {
	case StatusDraining:
		set = map[string]string{memberDrain: "true", memberDrainNote: quoted(note)}
	case "", StatusPassing, StatusWarning, StatusCritical:
		if status == "" {
			status = StatusPassing
		}
		set = map[string]string{memberHealth: quoted(string(status)), memberNote: quoted(note)}
	default:
		return badService("Status", fmt.Sprintf("%q is none of passing, warning, critical and draining", status))
	}
	marked, err := b.core.PatchOverlay(ctx, serviceID, set)
	if err == nil && !marked.Existed {
		err = ErrNotFound
	}
	return failed("set the status of", serviceID, err)
}

// quoted is a text as JSON; an empty one is left out.
func quoted(text string) string {
	if text == "" {
		return ""
	}
	b, _ := json.Marshal(text) // a string always has a JSON form
	return string(b)
}

// Drain implements Backend.
func (b *base) Drain(ctx context.Context, serviceID string) error {
	return b.drain(ctx, "drain", serviceID, b.core.PatchAndWait, map[string]string{memberDrain: "true"})
}

// Undrain implements Backend.
func (b *base) Undrain(ctx context.Context, serviceID string) error {
	return b.drain(ctx, "undrain", serviceID, b.core.PatchOverlay, map[string]string{memberDrain: "false", memberDrainNote: ""})
}

func (b *base) drain(ctx context.Context, call, serviceID string,
	mark func(context.Context, string, map[string]string) (store.PatchResult, error), set map[string]string) error {
	if b.closed() {
		return failed(call, serviceID, ErrClosed)
	}
	if err := validateID(serviceID); err != nil {
		return err
	}
	marked, err := mark(ctx, serviceID, set)
	if err == nil && !marked.Existed {
		err = ErrNotFound
	}
	return failed(call, serviceID, err)
}
