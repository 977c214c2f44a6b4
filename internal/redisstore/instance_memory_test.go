package redisstore

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// maxInstanceBytes is what one instance may take of Redis's memory, its share
// of both keys of a service with 1,000 of them.
const maxInstanceBytes = 470

func TestMemoryPerInstance(t *testing.T) {
	r := newHarness(t)
	per := r.fillService("payment-service", func(int) *Store { return r.store })
	if per > maxInstanceBytes {
		t.Errorf("%d bytes per instance, more than %d", per, maxInstanceBytes)
	}
}

// maxOwnerBytes is what it may take more if each instance has an owner of its own, whose
// name is stored.
const maxOwnerBytes = 25

func TestMemoryPerOwner(t *testing.T) {
	r := newHarness(t)
	shared := r.fillService("payment-service", func(int) *Store { return r.store })
	own := r.fillService("payments-service", func(i int) *Store {
		r.store.cfg.Owner, r.store.cfg.Name = strings.ToLower(rand.Text()[:10]), fmt.Sprintf("api@web-%d pid %d", i, 3000+i)
		return r.store
	})
	if own-shared > maxOwnerBytes {
		t.Errorf("%d bytes more per instance, more than %d", own-shared, maxOwnerBytes)
	}
}

// fillService registers 1,000 instances, each by the store that open returns, and returns
// how many bytes each takes.
func (r *harness) fillService(service string, open func(i int) *Store) int64 {
	r.Helper()
	const n = 1000
	for i := range n {
		payload := fmt.Sprintf(`{"version":"v1.24.3","address":"10.32.%d.%d","port":8080,"health":"/health/ready",`+
			`"metadata":{"env":"production","region":"eu-central-1","team":"payments"}}`, i/250, i%250)
		p := putOf(service, uuid.NewString(), payload)
		p.Hints.NewID = true
		r.put(open(i), p)
	}
	total := int64(0)
	for _, which := range []string{"h", "z"} {
		bytes, err := r.admin.MemoryUsage(r.Context(), r.recordKey(service, which), 0).Result()
		if err != nil {
			r.Fatal(err)
		}
		r.Logf("%s: %s: %d bytes per instance", service, which, bytes/n)
		total += bytes
	}
	r.Logf("%s: %d bytes per instance", service, total/n)
	return total / n
}
