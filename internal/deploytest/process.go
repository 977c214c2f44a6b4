package deploytest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a server or a client.
type process struct {
	what    string
	pid     int
	stdin   io.Closer
	serving chan struct{} // closed at that line
	exited  chan struct{} // closed when it is gone; what follows may be read then
	err     error
	stderr  bytes.Buffer
	tally   counts
	counted bool
}

// start runs a process. The kernel kills it as soon as this process ends; for
// that the thread that forked it has to live on.
func start(t task) (*process, error) {
	env, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	p := &process{what: strings.TrimSpace(t.Role + " " + t.ID), serving: make(chan struct{}), exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		// A program with the race detector otherwise sleeps for a second at its end.
		cmd.Env = append(os.Environ(), processEnv+"="+string(env), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
		cmd.Stderr = &p.stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		in, err := cmd.StdinPipe()
		var out io.ReadCloser
		if err == nil {
			out, err = cmd.StdoutPipe()
		}
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			started <- err
			return
		}
		p.pid, p.stdin = cmd.Process.Pid, in
		started <- nil
		p.read(out)
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting a %s: %w", p.what, err)
	}
	return p, nil
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == lineServing {
			close(p.serving)
		}
		if text, ok := strings.CutPrefix(lines.Text(), lineResult); ok {
			p.counted = json.Unmarshal([]byte(text), &p.tally) == nil
		}
	}
}

// maxProcessTime is far more than a process needs to start or to end.
const maxProcessTime = 40 * time.Second

// awaitAnswer waits until a server has answered a request.
func (p *process) awaitAnswer() error {
	select {
	case <-p.serving:
		return nil
	case <-p.exited:
		return p.problem("ended")
	case <-time.After(maxProcessTime):
		return fmt.Errorf("%s has had no request in %s", p.what, maxProcessTime)
	}
}

// awaitEnd waits until the process has ended in order.
func (p *process) awaitEnd() error {
	select {
	case <-p.exited:
	case <-time.After(maxProcessTime):
		return fmt.Errorf("%s has not ended in %s", p.what, maxProcessTime)
	}
	if p.err != nil {
		return p.problem("did not end well")
	}
	return nil
}

// problem returns the error of a process that has ended.
func (p *process) problem(what string) error {
	return fmt.Errorf("%s %s: %v\n%s", p.what, what, p.err, p.stderr.String())
}

func (p *process) terminate() error { return syscall.Kill(p.pid, syscall.SIGTERM) }

// kill ends the process, if it runs, and waits until it is gone.
func (p *process) kill() {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.exited
	}
}
