package balance

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rollcall-sd/rollcall/registry"
)

func inZone(id, zone string) registry.ServiceInfo {
	s := api(id)
	s.Metadata = map[string]string{registry.MetadataZone: zone}
	return s
}

func TestTheOwnZoneIsPreferred(t *testing.T) {
	services := []registry.ServiceInfo{inZone("a", "eu-1"), inZone("b", "eu-1"), inZone("c", "eu-2"), api("d")}
	inBubble(t, []Option{WithZone("eu-1")}, services, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		count := shares(t, b, 2000, nil)
		near(t, count, "a", 1000)
		near(t, count, "b", 1000)
		if len(count) != 2 {
			t.Errorf("with two of the own zone: %v", count)
		}
	})
	for _, zone := range []string{"", "nowhere"} {
		inBubble(t, []Option{WithZone(zone)}, services, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
			count := shares(t, b, 2000, nil)
			near(t, count, "c", 500)
			near(t, count, "d", 500)
		})
	}
}

func TestRequestsSpillOverWhenTheZoneIsFull(t *testing.T) {
	services := []registry.ServiceInfo{inZone("a", "eu-1"), inZone("b", "eu-1"), inZone("c", "eu-2"), inZone("d", "eu-2")}
	inBubble(t, []Option{WithZone("eu-1"), WithSpillOver(10)}, services, func(t *testing.T, _ *registry.LocalRegistry, b *Balancer) {
		count := map[string]int{}
		for range 20 {
			count[pick(t, b).Instance().ID]++
		}
		if count["a"] != 10 || count["b"] != 10 {
			t.Errorf("up to 10 each: %v", count)
		}
		for range 20 {
			count[pick(t, b).Instance().ID]++
		}
		near(t, count, "c", 10)
		near(t, count, "d", 10)
	})
}

func TestRequestsSpillOverWhenTheZoneIsGone(t *testing.T) {
	inBubble(t, []Option{WithZone("eu-1")}, []registry.ServiceInfo{inZone("a", "eu-1"), inZone("b", "eu-2"), inZone("c", "eu-2")},
		func(t *testing.T, r *registry.LocalRegistry, b *Balancer) {
			if count := shares(t, b, 100, nil); count["a"] != 100 {
				t.Errorf("at first: %v", count)
			}
			for range 5 { // a is ejected
				pick(t, b).Done(errors.New("broken"))
			}
			if count := shares(t, b, 100, nil); count["a"] != 0 || len(count) != 2 {
				t.Errorf("while the only one of the zone is ejected: %v", count)
			}
			deregister(t, r, "a")
			synctest.Wait()
			if count := shares(t, b, 100, nil); len(count) != 2 {
				t.Errorf("after it left: %v", count)
			}
			register(t, r, inZone("e", "eu-1"))
			synctest.Wait()
			if count := shares(t, b, 100, nil); count["e"] != 100 {
				t.Errorf("with another one: %v", count)
			}
		})
}
