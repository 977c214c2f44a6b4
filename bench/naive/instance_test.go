package naive

import "testing"

func TestInstancesHaveTheSizeThatIsMeasured(t *testing.T) {
	for _, service := range []string{"s", "of-1000", "fleet-99"} {
		if got := len(encoded(Instance(service))); got != PayloadBytes {
			t.Errorf("an instance of %q has %d bytes, want %d", service, got, PayloadBytes)
		}
	}
}
