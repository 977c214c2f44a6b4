//go:build unix

package supervise

import (
	"os"
	"os/signal"
	"syscall"
)

// signal sends a signal to the process and to what it has started in its group.
func (p *process) signal(s os.Signal) {
	select {
	case <-p.exited: // its number may be another process's by now
		return
	default:
	}
	if number, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(-p.cmd.Process.Pid, number) // it may have ended
	}
}

// kill ends the process and its group at once.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// Notify sends the signals that Run forwards to c. SIGHUP stays ignored under nohup.
func Notify(c chan<- os.Signal) (stop func()) {
	signal.Notify(c, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(c, syscall.SIGHUP)
	}
	return func() { signal.Stop(c) }
}
