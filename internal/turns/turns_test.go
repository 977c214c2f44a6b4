package turns

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Turns
		stop := make(chan struct{})
		done, err := s.Take(t.Context(), stop, "a")
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.Take(t.Context(), stop, "b")
		if err != nil {
			t.Fatalf("another key: %v", err)
		}
		other()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Take(ended, stop, "a"); err != context.Canceled {
			t.Errorf("with an ended context: %v", err)
		}
		taken := false
		go func() {
			next, err := s.Take(t.Context(), stop, "a")
			if err != nil {
				t.Error(err)
				return
			}
			taken = true
			next()
		}()
		synctest.Wait()
		if taken {
			t.Error("two hold the turn")
		}
		waiting := make(chan error, 1)
		go func() { _, err := s.Take(t.Context(), stop, "a"); waiting <- err }()
		synctest.Wait()
		done()
		synctest.Wait()
		if !taken {
			t.Error("the turn was not handed on")
		}
		<-waiting // it holds the turn now
		close(stop)
		if _, err := s.Take(t.Context(), stop, "a"); err != ErrStopped {
			t.Errorf("after a stop: %v", err)
		}
		if len(s.byKey) != 1 {
			t.Errorf("%d keys are remembered, want that of the one holder", len(s.byKey))
		}
	})
}
