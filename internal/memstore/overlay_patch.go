package memstore

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// PatchOverlay implements store.Store.
func (s *Store) PatchOverlay(ctx context.Context, patch store.OverlayPatch) (store.PatchResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkUsable(ctx); err != nil {
		return store.PatchResult{}, err
	}
	service, ok := s.serviceOf[patch.ID]
	if !ok {
		return store.PatchResult{}, nil
	}
	old := s.recordOf(service, patch.ID)
	result := store.PatchResult{Existed: true, Service: service, Overlay: patched(old.Overlay, patch.Set)}
	if !bytes.Equal(result.Overlay, old.Overlay) {
		result.Changed = true
		next := *old
		next.Overlay = result.Overlay
		records := append([]*store.Record(nil), s.load(service).Records...)
		for i, r := range records {
			if r == old {
				records[i] = &next
			}
		}
		s.publish(service, s.newReading(service, records))
		s.history.add(service, store.Event{ID: patch.ID, Kind: patch.Kind, Note: patch.Note}, eventTime)
	}
	result.Rev = s.load(service).Rev
	return result, nil
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
