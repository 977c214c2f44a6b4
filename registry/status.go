package registry

import (
	"context"
	"encoding/json"
	"fmt"
)

// overlay is the part of a record that others than its owner set: health and
// draining are two facts, kept apart.
type overlay struct {
	Health Status `json:"health"`
	Note   string `json:"note"`
	Drain  *bool  `json:"drain"`
}

// Members of an overlay.
const (
	memberHealth = "health"
	memberNote   = "note"
	memberDrain  = "drain"
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
	set := map[string]string{memberNote: quoted(note)}
	switch status {
	case StatusDraining:
		set[memberDrain] = "true"
	case "", StatusPassing, StatusWarning, StatusCritical:
		if status == "" {
			status = StatusPassing
		}
		set[memberHealth] = quoted(string(status))
	default:
		return badService("Status", fmt.Sprintf("%q is none of passing, warning, critical and draining", status))
	}
	marked, err := b.core.Mark(ctx, serviceID, set)
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
	return b.drain(ctx, "drain", serviceID, "true")
}

// Undrain implements Backend.
func (b *base) Undrain(ctx context.Context, serviceID string) error {
	return b.drain(ctx, "undrain", serviceID, "false")
}

func (b *base) drain(ctx context.Context, call, serviceID, value string) error {
	if b.closed() {
		return failed(call, serviceID, ErrClosed)
	}
	if err := validateID(serviceID); err != nil {
		return err
	}
	set := map[string]string{memberDrain: value}
	mark := b.core.Mark
	if value == "true" {
		mark = b.core.MarkAndWait
	}
	marked, err := mark(ctx, serviceID, set)
	if err == nil && !marked.Existed {
		err = ErrNotFound
	}
	return failed(call, serviceID, err)
}
