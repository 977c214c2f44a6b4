package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// leaveTimeout is how long a process may take to stop before it is killed.
const leaveTimeout = time.Second

// processes is the fleet on Redis: each server is a process.
type processes struct {
	executable string
	command    string
	env        []string
	board      *board
	fail       context.CancelCauseFunc // called when a server ends unexpectedly
	started    []*process
}

func newProcesses(options Options, url string, b *board, fail context.CancelCauseFunc) (*processes, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the executable to start servers from: %w", err)
	}
	return &processes{
		executable: executable,
		command:    options.ServerCommand,
		// The URL may have a password, which arguments would show in the process list.
		env:   append(os.Environ(), options.URLVariable+"="+url),
		board: b,
		fail:  fail,
	}, nil
}

func (f *processes) start(id string) (server, string, error) {
	p := &process{cmd: exec.Command(f.executable, f.command, id), done: make(chan struct{})}
	p.cmd.Env = f.env
	output := &lineWriter{handle: func(line string) { f.board.say(kindLog, id, "%s", line) }}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, "", fmt.Errorf("start %s: %w", id, err)
	}
	f.started = append(f.started, p)
	go func() {
		defer close(p.done)
		err := p.cmd.Wait()
		if !p.stopRequested.Load() {
			err = cmp.Or(err, errors.New("exit status 0"))
			f.fail(fmt.Errorf("server %s ended unexpectedly: %w", id, err))
		}
	}()
	return p, fmt.Sprintf("process %d", p.cmd.Process.Pid), nil
}

func (f *processes) close() {
	var leaving sync.WaitGroup
	for _, p := range f.started {
		leaving.Go(p.leave)
	}
	leaving.Wait()
}

// process is one server of processes.
type process struct {
	cmd           *exec.Cmd
	stdin         io.Closer
	stopRequested atomic.Bool
	done          chan struct{} // closed once it has ended and was waited for
}

// kill sends SIGKILL.
func (p *process) kill() {
	p.stopRequested.Store(true)
	// It fails only if the process has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// leave closes the standard input of the process, which then deregisters and stops.
func (p *process) leave() {
	p.stopRequested.Store(true)
	_ = p.stdin.Close()
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
	}
}
