package supervise

import (
	"os"
	"os/signal"
	"syscall"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// signal ends the process: Windows has no signals to forward.
func (p *process) signal(os.Signal) { p.kill() }

// kill ends the process at once.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // it may have ended

// Notify sends the signals that stop the process to c.
func Notify(c chan<- os.Signal) (stop func()) {
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return func() { signal.Stop(c) }
}
