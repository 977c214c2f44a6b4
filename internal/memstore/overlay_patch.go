package memstore

import (
	"bytes"
	"encoding/json"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// patchOverlay sets members of a record's overlay. The caller holds m.mu.
func (m *memory) patchOverlay(c call, patch store.OverlayPatch) store.PatchResult {
	name := patch.Service
	if at, ok := m.where[patch.ID]; ok {
		name = at
	}
	s := m.services[name]
	m.collect(s, c.now)
	record, _ := s.find(patch.ID)
	if record == nil {
		return store.PatchResult{}
	}
	result := store.PatchResult{Existed: true, Service: name, Overlay: record.Overlay, Rev: s.rev}
	if s.tookEffect(c.callID) {
		result.Changed = true
		return result
	}
	result.Overlay = patched(record.Overlay, patch.Set)
	if bytes.Equal(result.Overlay, record.Overlay) {
		return result
	}
	next := *record
	next.Overlay = result.Overlay
	e := m.edit(s)
	e.replace(record, &next, c.callID)
	e.commit()
	m.history.add(name, store.Event{ID: patch.ID, Kind: patch.Kind, By: c.by, Note: patch.Note}, c.now, eventTime)
	result.Changed, result.Rev = true, s.rev
	return result
}

// patched returns an overlay, a JSON object, with members set; nil if none is left.
func patched(overlay []byte, set map[string]string) []byte {
	members := make(map[string]json.RawMessage)
	if len(overlay) > 0 && json.Unmarshal(overlay, &members) != nil {
		members = make(map[string]json.RawMessage)
	}
	for name, value := range set {
		if value == "" {
			delete(members, name)
		} else {
			members[name] = json.RawMessage(value)
		}
	}
	if len(members) == 0 {
		return nil
	}
	out, err := json.Marshal(members) // in the order of the names
	if err != nil {
		return overlay // a value that is no JSON changes nothing
	}
	return out
}
