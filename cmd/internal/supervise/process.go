package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a running command.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once it has ended and was waited for
}

// start starts a command in a process group of its own, so that a Ctrl-C does not
// reach it before the instance has left. On Linux the kernel kills it when this
// process dies.
func start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = attributes()
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// To the kernel, the parent is the thread that forked: it must last.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState has the result
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, startError(err))
	}
	return p, nil
}

// startError removes from an error of os/exec what it repeats.
func startError(err error) error {
	var path *os.PathError
	var lookup *exec.Error
	switch {
	case errors.As(err, &lookup):
		return lookup.Err
	case errors.As(err, &path):
		return path.Err
	}
	return err
}

// exitCode returns the exit code of a process that has ended, as a shell reports it:
// 128 and the signal's number for one that a signal ended.
func (p *process) exitCode() int {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// terminate is the signal that asks a process to end.
const terminate = syscall.SIGTERM
