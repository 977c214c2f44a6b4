package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one run of a redis-server.
type process struct {
	pid    int
	exited chan struct{} // closed when the process is gone and reaped

	mu      sync.Mutex
	stopped bool // by us
	err     error
}

// startProcess runs a command that the kernel kills as soon as this process
// ends, however it ends. The kernel's notion of a parent is the OS thread that
// forked, so one goroutine keeps that thread until the child is gone.
//
// What it prints goes to the end of the file output.
func startProcess(path string, args, env []string, output string) (*process, error) {
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own copy by then
	p := &process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.Command(path, args...)
		cmd.Env = env
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal sends a signal unless the process is gone already.
func (p *process) signal(sig syscall.Signal) error {
	if p.gone() {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.pid, sig)
}

// kill ends the process and waits until it is gone. SIGKILL needs no SIGCONT
// before it: a frozen process dies without running another instruction.
func (p *process) kill() {
	p.stop(syscall.SIGKILL)
	<-p.exited
}

func (p *process) stop(sig syscall.Signal) {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	_ = p.signal(sig)
}

// gone reports whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// crashed reports how the process ended unless this package ended it.
func (p *process) crashed() error {
	if !p.gone() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	if p.err == nil {
		return errors.New("it exited with status 0")
	}
	return p.err
}

// waitState waits until the kernel reports the process in one of these states.
func (p *process) waitState(states string) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
		if err != nil {
			return err
		}
		// The state follows the command's name, which is in parentheses.
		rest := string(stat)[strings.LastIndexByte(string(stat), ')')+1:]
		state := strings.Fields(rest)[0]
		if strings.Contains(states, state) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is in state %s, not in one of %s", p.pid, state, states)
		}
		time.Sleep(time.Millisecond)
	}
}
