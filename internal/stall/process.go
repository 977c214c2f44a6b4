package stall

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// process is another process, of which the kernel counts the run delay.
type process struct {
	pid     string
	threads map[string]time.Duration // run delay by thread ID, when last looked at
	looks   []reading                // oldest first
}

// reading is the run delay of all threads up to a time.
type reading struct {
	at    time.Time
	total time.Duration
}

func newProcess(pid int) *process {
	return &process{pid: strconv.Itoa(pid), threads: map[string]time.Duration{}}
}

// read adds for how long the threads of the process were delayed since the last
// reading. A process that has ended adds nothing.
func (p *process) read(now time.Time) {
	var total time.Duration
	first := len(p.looks) == 0
	if !first {
		total = p.looks[len(p.looks)-1].total
	}
	tasks, err := os.ReadDir(filepath.Join("/proc", p.pid, "task"))
	if err != nil && !first {
		return
	}
	for _, task := range tasks {
		id := task.Name()
		delay, ok := runDelay(filepath.Join("/proc", p.pid, "task", id, "schedstat"))
		if !ok {
			continue
		}
		if !first {
			total += max(0, delay-p.threads[id])
		}
		p.threads[id] = delay
	}
	p.looks = append(p.looks, reading{now, total})
}

// runDelay reads the second of three numbers, in nanoseconds.
func runDelay(path string) (time.Duration, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return time.Duration(n), err == nil
}

// between returns the run delay of a time, rounded outward to readings: the last
// before it and the first after it, which is made now if there is none yet.
func (p *process) between(from, to, now time.Time) time.Duration {
	if last := p.looks[len(p.looks)-1]; to.After(last.at) {
		p.read(now)
	}
	begin, end := p.looks[0], p.looks[len(p.looks)-1]
	for i := len(p.looks) - 1; i >= 0; i-- {
		if !p.looks[i].at.Before(to) {
			end = p.looks[i]
		}
		if !p.looks[i].at.After(from) {
			begin = p.looks[i]
			break
		}
	}
	return max(0, end.total-begin.total)
}
