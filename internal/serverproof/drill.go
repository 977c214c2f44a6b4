package serverproof

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Row is one line of the fault table.
type Row struct {
	Fault    string `json:"fault"`
	Then     string `json:"then"`
	Promised string `json:"promised_within"`
	WorstMS  int64  `json:"worst_ms"`
	Failure  string `json:"failure"` // empty if the promise was kept
}

// Promises, as docs/promises.md has them.
const (
	afterHeartbeat = "heartbeat + 1 s"
	afterSecond    = "1 s"
	atOnce         = "0.1 s"
)

// The texts of the rows are those of README.md where the fault is the same.
const (
	faultCut     = "all connections cut repeatedly"
	faultForget  = "the memory of the namespace lost (as by `FLUSHALL`)"
	faultHold    = "no reply for longer than the TTL (as from a frozen Redis)"
	faultRefuse  = "no connection for longer than the TTL"
	faultKilled  = "owner killed while no other process writes"
	faultStalled = "owner stalled for longer than its TTL, then resumed"
	faultTwice   = "the memory lost between two registrations of one ID"
	faultMute    = "a server that accepts connections and never answers"

	thenChange   = "a watch shows a change"
	thenAll      = "Discover lists all running instances; watches drop none"
	thenStale    = "watches are marked `Stale`"
	thenDiscover = "gone from Discover, counted from the end of its TTL"
	thenWatch    = "gone from every watch, counted from the end of its TTL"
	thenBack     = "back in Discover"
	thenNewer    = "the newer registration stands"
	thenEnds     = "a call ends, counted from the end of its context"
)

// rows collects rows; each has the worst of several measurements.
type rows []Row

// note adds a measurement to its row. An error is a broken promise.
func (r *rows) note(fault, then, promised string, took time.Duration, err error) {
	row := r.find(fault, then, promised)
	row.WorstMS = max(row.WorstMS, max(0, took.Milliseconds()))
	if err != nil && row.Failure == "" {
		row.Failure = strings.NewReplacer("\n", "; ", "|", "/").Replace(err.Error())
	}
}

func (r *rows) find(fault, then, promised string) *Row {
	for i := range *r {
		if (*r)[i].Fault == fault && (*r)[i].Then == then {
			return &(*r)[i]
		}
	}
	*r = append(*r, Row{Fault: fault, Then: then, Promised: promised})
	return &(*r)[len(*r)-1]
}

// drill causes each fault in a namespace of its own, one after the other.
func (p *prover) drill(ctx context.Context) ([]Row, error) {
	out := rows{}
	for _, fault := range []func(context.Context, *scene, *rows) error{
		cutRepeatedly, loseMemory, holdReplies, refuseConnections, killOwner, stallOwner, registerTwice, muteServer,
	} {
		s := &scene{prover: p, namespace: p.namespace()}
		err := fault(ctx, s, &out)
		s.close()
		if err := errors.Join(err, ctx.Err()); err != nil {
			return out, fmt.Errorf("fault drill: %w", err)
		}
	}
	return out, nil
}
