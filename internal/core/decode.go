package core

import (
	"hash/maphash"
	"sync"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// decoder returns the decoder of a service's records.
func (e *Engine) decoder(service string) decoder {
	return func(old *Entry, record *store.Record) (*Entry, bool) {
		if record.Decoded != nil {
			if old != nil && old.Record == record {
				return old, true
			}
			return &Entry{Record: record, Value: record.Decoded}, true
		}
		sum := payloadSum(record.Payload) // before Decode, which may release the payload
		if old != nil && old.RegisteredAt == record.RegisteredAt && old.Owner == record.Owner &&
			old.sum == sum && string(old.Overlay) == string(record.Overlay) {
			if service == store.Catalog {
				old.TTL = max(old.TTL, record.TTL)
				old.HeartbeatInterval = max(old.HeartbeatInterval, record.HeartbeatInterval)
			}
			return old, true
		}
		value, err := e.cfg.Decode(service, record)
		if err != nil {
			e.reportMalformed(service, record.ID, err)
			return nil, false
		}
		return &Entry{Record: record, Value: value, sum: sum}, true
	}
}

var payloadSumSeed = maphash.MakeSeed()

// payloadSum stands for a payload in comparisons with a later one of the same
// registration, so that the payload need not be kept. Two payloads have the same
// sum once in 2^64, and the seed is random, so that no one can construct two.
func payloadSum(payload []byte) uint64 { return maphash.Bytes(payloadSumSeed, payload) }

// malformedRecords remembers which records were reported as malformed.
type malformedRecords struct {
	mu       sync.Mutex
	reported map[[2]string]bool // by service and ID
}

// maxMalformedReported bounds what is remembered. Beyond it a record may be reported again.
const maxMalformedReported = 10_000

// reportMalformed logs once that a record, or with id "" a service, cannot be read.
func (e *Engine) reportMalformed(service, id string, why error) {
	e.malformed.mu.Lock()
	key := [2]string{service, id}
	known := e.malformed.reported[key]
	if !known {
		if e.malformed.reported == nil || len(e.malformed.reported) >= maxMalformedReported {
			e.malformed.reported = make(map[[2]string]bool)
		}
		e.malformed.reported[key] = true
	}
	e.malformed.mu.Unlock()
	if known {
		return
	}
	e.cfg.Hooks.Malformed(service, id)
	e.cfg.Logger.Warn("a record cannot be read and is left out", "service", service, "id", id, "error", why)
}
