package batch

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWaitingOperationsFormOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		b := New(func(batch []int) {
			batches = append(batches, batch)
			time.Sleep(time.Second)
		})
		b.Add(0)
		synctest.Wait()
		for i := 1; i <= 5; i++ {
			b.Add(i)
		}
		time.Sleep(1500 * time.Millisecond)
		b.Add(6)
		b.Close()
		b.Wait()
		if len(batches) != 3 || len(batches[0]) != 1 || len(batches[1]) != 5 || len(batches[2]) != 1 {
			t.Fatalf("batches %v, want the first alone, then all that waited, then the last", batches)
		}
		next := 0
		for _, sent := range batches {
			for _, op := range sent {
				if op != next {
					t.Fatalf("batches %v are out of order", batches)
				}
				next++
			}
		}
	})
}

func TestCloseRefusesNewOperationsAndSendsWaitingOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		b := New(func(batch []int) {
			time.Sleep(time.Second)
			sent += len(batch)
		})
		b.Add(1)
		synctest.Wait()
		b.Add(2)
		b.Close()
		if b.Add(3) {
			t.Error("a closed Batcher accepted an operation")
		}
		b.Wait()
		if sent != 2 {
			t.Errorf("%d operations were sent, want the 2 that were accepted", sent)
		}
		b.Wait() // again
	})
}

func TestIdleBatcherRunsAgain(t *testing.T) {
	b := New(func([]int) {})
	for range 100 {
		b.Add(1)
	}
	b.Wait()
	if !b.Add(1) {
		t.Error("an idle Batcher accepted no operation")
	}
	b.Wait()
}

func TestAddFromWithinSend(t *testing.T) {
	done := make(chan struct{})
	var b *Batcher[int]
	b = New(func(batch []int) {
		if batch[0] == 3 {
			close(done)
			return
		}
		b.Add(batch[0] + 1)
	})
	b.Add(0)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("an operation that send added was not sent within 10 seconds")
	}
	b.Wait()
}

func TestConcurrentAddsKeepTheirOrder(t *testing.T) {
	const goroutines, each = 16, 500
	var busy, sent atomic.Int32
	last := make([]int, goroutines)
	b := New(func(batch [][2]int) {
		if busy.Add(1) != 1 {
			t.Error("two batches at a time")
		}
		for _, op := range batch {
			if op[1] != last[op[0]]+1 {
				t.Errorf("operation %d of goroutine %d came after %d", op[1], op[0], last[op[0]])
			}
			last[op[0]] = op[1]
		}
		sent.Add(int32(len(batch)))
		busy.Add(-1)
	})
	var wg sync.WaitGroup
	var accepted atomic.Int32
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				if !b.Add([2]int{g, i + 1}) {
					return
				}
				if accepted.Add(1) == goroutines*each*3/4 {
					b.Close()
				}
			}
		})
	}
	wg.Wait()
	b.Close()
	b.Wait()
	if sent.Load() != accepted.Load() {
		t.Errorf("%d of the %d accepted operations were sent", sent.Load(), accepted.Load())
	}
}
