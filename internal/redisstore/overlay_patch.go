package redisstore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// PatchOverlay implements store.Store. It is retried, as the same call, until ctx ends
// or for defaultCallTimeout.
func (s *Store) PatchOverlay(ctx context.Context, patch store.OverlayPatch) (store.PatchResult, error) {
	seq := s.nextSeq()
	return inSlotMode(s, func() (store.PatchResult, error) { return s.patchOverlayWhereverItIs(ctx, patch, seq) })
}

func (s *Store) patchOverlayWhereverItIs(ctx context.Context, patch store.OverlayPatch, seq uint64) (store.PatchResult, error) {
	if !s.oneSlot() || patch.Service != "" {
		return s.patchOverlay(ctx, patch, seq)
	}
	var result store.PatchResult
	err := s.callByID(ctx, patch.ID, func(service string) (existed bool, err error) {
		patch.Service = service
		result, err = s.patchOverlay(ctx, patch, seq)
		return result.Existed, err
	})
	return result, err
}

// patchOverlay is the call of that number in a known service.
func (s *Store) patchOverlay(ctx context.Context, patch store.OverlayPatch, seq uint64) (store.PatchResult, error) {
	tryUntil := deadlineOf(ctx)
	for try := 0; ; try++ {
		c := &call{script: patchOverlayScript, keys: s.instanceKeys(patch.Service, patch.ID), deadlineArg: 5, service: patch.Service, tryUntil: tryUntil}
		c.args = []any{s.cfg.Owner, seq, patch.Service, s.keys.prefix, patch.ID, 0,
			eventLetter(patch.Kind), storedName(s.cfg.Name, ""), patch.Note}
		for _, name := range slices.Sorted(maps.Keys(patch.Set)) {
			c.args = append(c.args, name, patch.Set[name])
		}
		err := s.callAndWait(ctx, c)
		if err == nil {
			s.noteTime(patch.Service, c.reply)
			outcome := text(c.reply, 2)
			switch outcome {
			case "ok", "same", "none":
				result := store.PatchResult{Existed: outcome != "none", Changed: outcome == "ok",
					Rev: text(c.reply, 1), Service: text(c.reply, 3)}
				if o := text(c.reply, 4); o != "" {
					result.Overlay = []byte(o)
				}
				return result, nil
			case "late":
				err = unavailable(errLate)
			default:
				err = unavailable(errReply)
			}
		}
		if !errors.Is(err, store.ErrUnavailable) || !retryable(err) || !s.pauseBeforeRetry(ctx, tryUntil, try) {
			return store.PatchResult{}, err
		}
	}
}
