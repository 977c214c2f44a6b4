package line

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatWaitsTravelsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		l := New(func(batch []int) {
			batches = append(batches, batch)
			time.Sleep(time.Second)
		})
		l.Add(0)
		synctest.Wait()
		for i := 1; i <= 5; i++ {
			l.Add(i)
		}
		time.Sleep(1500 * time.Millisecond)
		l.Add(6)
		l.Close()
		l.Wait()
		if len(batches) != 3 || len(batches[0]) != 1 || len(batches[1]) != 5 || len(batches[2]) != 1 {
			t.Fatalf("batches %v, want the first alone, then all that waited, then the last", batches)
		}
		next := 0
		for _, b := range batches {
			for _, op := range b {
				if op != next {
					t.Fatalf("batches %v are out of order", batches)
				}
				next++
			}
		}
	})
}

func TestCloseRefusesAndSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		l := New(func(batch []int) {
			time.Sleep(time.Second)
			sent += len(batch)
		})
		l.Add(1)
		synctest.Wait()
		l.Add(2)
		l.Close()
		if l.Add(3) {
			t.Error("a closed line took an operation")
		}
		l.Wait()
		if sent != 2 {
			t.Errorf("%d operations were sent, want the 2 that were taken", sent)
		}
		l.Wait() // again
	})
}

func TestIdleLineHoldsNothing(t *testing.T) {
	l := New(func([]int) {})
	for range 100 {
		l.Add(1)
	}
	l.Wait()
	if !l.Add(1) {
		t.Error("a line that fell idle took no more")
	}
	l.Wait()
}

func TestAddFromWithinSend(t *testing.T) {
	done := make(chan struct{})
	var l *Line[int]
	l = New(func(batch []int) {
		if batch[0] == 3 {
			close(done)
			return
		}
		l.Add(batch[0] + 1)
	})
	l.Add(0)
	<-done
	l.Wait()
}

func TestStress(t *testing.T) {
	const goroutines, each = 16, 500
	var busy, sent atomic.Int32
	last := make([]int, goroutines)
	l := New(func(batch [][2]int) {
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
	var taken atomic.Int32
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				if !l.Add([2]int{g, i + 1}) {
					return
				}
				if taken.Add(1) == goroutines*each*3/4 {
					l.Close()
				}
			}
		})
	}
	wg.Wait()
	l.Close()
	l.Wait()
	if sent.Load() != taken.Load() {
		t.Errorf("%d of the %d operations taken were sent", sent.Load(), taken.Load())
	}
}
