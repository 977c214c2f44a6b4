package core

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

// A removal in the background ends what its owner registered before it was sent. So a
// Register that waited for one removal must wait for the next as well, which begins
// between the two when another call of the ID gives up.
func TestRegisterWaitsForEachRollbackOfItsID(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "owner")
		first, second := make(chan struct{}), make(chan struct{})
		e.mu.Lock()
		e.rollbacks["id"] = first
		e.mu.Unlock()
		ctx := &waitedContext{Context: t.Context(), waited: func() {
			e.mu.Lock()
			e.rollbacks["id"] = second
			e.mu.Unlock()
			close(first)
		}}
		done := make(chan error, 1)
		go func() { done <- e.Register(ctx, RegisterRequest{Service: "s", ID: "id", Payload: []byte("{}")}) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("Register returned %v while a rollback of its ID was under way", err)
		default:
		}
		e.mu.Lock()
		delete(e.rollbacks, "id")
		e.mu.Unlock()
		close(second)
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Register after the rollbacks: %v", err)
			}
		default:
			t.Error("Register still waits after the last rollback")
		}
		if f.record("s", "id") == nil {
			t.Error("not registered")
		}
	})
}

// waitedContext calls waited when it is first waited for.
type waitedContext struct {
	context.Context
	waited func()
	once   sync.Once
}

func (c *waitedContext) Done() <-chan struct{} {
	c.once.Do(c.waited)
	return c.Context.Done()
}
