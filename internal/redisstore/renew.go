package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Renew implements store.Store with one script call per service, all in one round
// trip. A call that failed is not retried here: the heartbeat repeats it after a pause.
// It is sent again at once only if the connection ended or the server did not know the
// script (see sendCalls), or if the server refused scripts over two slots.
func (s *Store) Renew(ctx context.Context, leases []store.ServiceLeases) []store.Renewal {
	before := s.oneSlot()
	answers := s.renew(ctx, leases)
	if !before && slices.ContainsFunc(answers, func(r store.Renewal) bool { return refusesTwoSlots(r.Err) }) {
		answers = s.renew(ctx, leases)
	}
	if s.oneSlot() {
		s.refreshCatalog(leases, answers)
		s.resolveKeptIDConflicts()
	}
	return answers
}

func (s *Store) renew(ctx context.Context, leases []store.ServiceLeases) []store.Renewal {
	answers := make([]store.Renewal, len(leases))
	o := &renewOp{ctx: ctx, store: s, leases: leases, answers: answers, done: make(chan struct{})}
	failed := func(err error) []store.Renewal {
		answers := make([]store.Renewal, len(leases)) // the batcher may still write to the others
		for i := range answers {
			answers[i].Err = err
		}
		return answers
	}
	if !s.writes.AddFirst(o) { // registrations that wait must not delay the heartbeat
		return failed(store.ErrClosed)
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return failed(ctx.Err())
	}
	return answers
}

type renewOp struct {
	ctx     context.Context
	store   *Store
	leases  []store.ServiceLeases
	answers []store.Renewal
	left    int
	done    chan struct{}
}

func (o *renewOp) size() int { return callBytes * len(o.leases) }

func (o *renewOp) add(b *writeBatch) {
	s := o.store
	if o.ctx.Err() != nil || len(o.leases) == 0 {
		for i := range o.answers {
			o.answers[i].Err = o.ctx.Err()
		}
		close(o.done)
		return
	}
	o.left = len(o.leases)
	end := time.Now().Add(s.timeout)
	for i, g := range o.leases {
		p := s.renewArgs(g)
		c := &call{script: renewScript, keys: p.keysIn(s.oneSlot()), args: []any{
			p.owner, s.nextSeq(), p.service, s.knownRev(g.Service), p.ttl, s.clock.at(g.Service, end), p.ids, p.stamps,
		}}
		b.send(c, func() {
			o.answers[i] = s.parseRenewal(g, c)
			if o.left--; o.left == 0 {
				close(o.done)
			}
		})
	}
}

func (s *Store) parseRenewal(g store.ServiceLeases, c *call) store.Renewal {
	if c.err != nil {
		s.setKnownRev(g.Service, "") // it may have run in part, or without a reply: look at each
		return store.Renewal{Err: unavailable(c.err)}
	}
	s.noteTime(g.Service, c.reply)
	rev := text(c.reply, 1)
	switch text(c.reply, 2) {
	case "same":
		s.setKnownRev(g.Service, rev)
		return store.Renewal{}
	case "late":
		return store.Renewal{Err: unavailable(errLate)}
	case "each":
	default:
		return store.Renewal{Err: unavailable(errReply)}
	}
	if len(c.reply) != 3+2*len(g.Leases) {
		return store.Renewal{Err: unavailable(errReply)}
	}
	r := store.Renewal{Outcomes: make(map[string]store.Outcome), Overlays: make(map[string][]byte)}
	for i, l := range g.Leases {
		switch text(c.reply, 3+2*i) {
		case "ok":
			r.Overlays[l.ID] = nil
			if overlay := text(c.reply, 4+2*i); overlay != "" {
				r.Overlays[l.ID] = []byte(overlay)
			}
		case "superseded":
			r.Outcomes[l.ID] = store.Superseded
		case "deregistered":
			r.Outcomes[l.ID] = store.Deregistered
		default:
			r.Outcomes[l.ID] = store.Lost
		}
	}
	if len(r.Outcomes) == 0 {
		s.setKnownRev(g.Service, rev)
	} else {
		s.setKnownRev(g.Service, "") // look at each again with the next heartbeat
	}
	return r
}
