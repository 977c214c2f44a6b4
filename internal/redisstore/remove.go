package redisstore

import (
	"context"
	"errors"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Remove implements store.Store. It is retried, as the same call, until ctx ends or
// for defaultCallTimeout.
func (s *Store) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	return inSlotMode(s, func() (store.RemoveResult, error) { return s.removeWhereverItIs(ctx, r) })
}

func (s *Store) removeWhereverItIs(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	if s.oneSlot() && r.Service == "" {
		return s.removeByIDOnCluster(ctx, r)
	}
	if r.Own {
		return s.remove(ctx, r.Service, r.ID, "own", r.RegisteredAt)
	}
	if r.Service == "" && store.IsGeneratedID(r.ID) {
		return s.removeSearched(ctx, r.ID) // it has no index entry
	}
	removed, err := s.remove(ctx, r.Service, r.ID, "any", 0)
	if err == nil && r.Service == "" && removed.Service == "" {
		return s.removeSearched(ctx, r.ID)
	}
	return removed, err
}

// removeSearched ends a record whose service the ID index does not say. If its ID is
// registered under another service meanwhile, that registration is later than this call.
func (s *Store) removeSearched(ctx context.Context, id string) (store.RemoveResult, error) {
	service, err := s.lookUpID(ctx, id)
	if err != nil || service == "" {
		return store.RemoveResult{}, err
	}
	return s.remove(ctx, service, id, "any", 0)
}

// remove ends a record in a service. If service is "" (only on a standalone server), it
// does so where the ID index says; the result names no service if the ID is not there.
func (s *Store) remove(ctx context.Context, service, id, mode string, registeredAt int64) (store.RemoveResult, error) {
	return s.removeAs(ctx, s.cfg.Owner, s.nextSeq(), service, id, mode, registeredAt, "")
}

// removeAs does it as the call of that owner and number, in mode "moved" because the ID
// is registered in the service to.
func (s *Store) removeAs(ctx context.Context, owner string, seq uint64, service, id, mode string, registeredAt int64, to string) (store.RemoveResult, error) {
	by := storedName(s.cfg.Name, "")
	if owner != s.cfg.Owner {
		by = "" // another process's call, which this one completes
	}
	tryUntil := deadlineOf(ctx)
	for try := 0; ; try++ {
		c := &call{script: removeScript, keys: s.instanceKeys(service, id), deadlineArg: 5, service: service, tryUntil: tryUntil}
		c.args = []any{owner, seq, service, s.keys.prefix, id, 0, mode, registeredAt, by, to}
		err := s.callAndWait(ctx, c)
		if err == nil {
			s.noteTime(service, c.reply)
			switch text(c.reply, 2) {
			case "done":
				return store.RemoveResult{Existed: true, Service: text(c.reply, 3)}, nil
			case "ok", "none":
				s.setKnownRev(service, "") // perhaps this owner's last there
				removed := store.RemoveResult{Existed: text(c.reply, 2) == "ok", Service: text(c.reply, 3)}
				if text(c.reply, 5) != "" {
					removed.Seq = seq
				}
				if s.oneSlot() && removed.Existed && text(c.reply, 4) == "" {
					s.removeFromCatalog(service)
				}
				return removed, nil
			case "late":
				err = unavailable(errLate)
			default:
				err = unavailable(errReply)
			}
		}
		if !errors.Is(err, store.ErrUnavailable) || !retryable(err) || !s.pauseBeforeRetry(ctx, tryUntil, try) {
			return store.RemoveResult{}, err
		}
	}
}

// instanceKeys returns the keys of a script on one instance, in a service or, if service
// is "" (only on a standalone server), where the ID index says.
func (s *Store) instanceKeys(service, id string) []string {
	keys := s.keys.ofService(service)
	if service == "" {
		keys = []string{s.keys.catalog, s.keys.catalog}
	}
	if service == "" || !s.oneSlot() {
		keys = append(keys, s.keys.catalog, s.keys.idIndex(id))
	}
	return keys
}
