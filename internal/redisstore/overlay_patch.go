package redisstore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Mark implements store.Store. It is tried again, as the same call, until ctx
// ends or patience does.
func (s *Store) PatchOverlay(ctx context.Context, m store.OverlayPatch) (store.PatchResult, error) {
	seq := s.nextSeq()
	if !s.cluster || m.Service != "" {
		return s.patchOverlay(ctx, m, seq)
	}
	var marked store.PatchResult
	err := s.callByID(ctx, m.ID, func(service string) (existed bool, err error) {
		m.Service = service
		marked, err = s.patchOverlay(ctx, m, seq)
		return marked.Existed, err
	})
	return marked, err
}

// mark is the call of that number in a known service.
func (s *Store) patchOverlay(ctx context.Context, m store.OverlayPatch, seq uint64) (store.PatchResult, error) {
	tryUntil := deadlineOf(ctx)
	for try := 0; ; try++ {
		c := &call{script: patchOverlayScript, keys: s.instanceKeys(m.Service, m.ID), deadlineArg: 5, service: m.Service, tryUntil: tryUntil}
		c.args = []any{s.cfg.Owner, seq, m.Service, s.keys.prefix, m.ID, 0}
		for _, name := range slices.Sorted(maps.Keys(m.Set)) {
			c.args = append(c.args, name, m.Set[name])
		}
		err := s.callAndWait(ctx, c)
		if err == nil {
			s.noteTime(m.Service, c.reply)
			outcome := text(c.reply, 2)
			switch outcome {
			case "ok", "same", "none":
				marked := store.PatchResult{Existed: outcome != "none", Changed: outcome == "ok",
					Rev: text(c.reply, 1), Service: text(c.reply, 3)}
				if o := text(c.reply, 4); o != "" {
					marked.Overlay = []byte(o)
				}
				return marked, nil
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
