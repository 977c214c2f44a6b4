package redisstore

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// maxInstanceBytes is what one instance may take of Redis's memory, its share
// of both keys of a service with 1,000 of them.
const maxInstanceBytes = 470

func TestMemoryPerInstance(t *testing.T) {
	const n = 1000
	r := newHarness(t)
	for i := range n {
		payload := fmt.Sprintf(`{"version":"v1.24.3","address":"10.32.%d.%d","port":8080,"health":"/health/ready",`+
			`"metadata":{"env":"production","region":"eu-central-1","team":"payments"}}`, i/250, i%250)
		p := putOf("payment-service", uuid.NewString(), payload)
		p.Hints.NewID = true
		r.put(r.store, p)
	}
	total := int64(0)
	for _, which := range []string{"h", "z"} {
		bytes, err := r.admin.MemoryUsage(t.Context(), r.recordKey("payment-service", which), 0).Result()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes per instance", which, bytes/n)
		total += bytes
	}
	if total/n > maxInstanceBytes {
		t.Errorf("%d bytes per instance, more than %d", total/n, maxInstanceBytes)
	}
	t.Logf("%d bytes per instance", total/n)
}
