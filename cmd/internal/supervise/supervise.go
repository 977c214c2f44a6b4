// Package supervise runs a command as an instance of a service: it registers the
// instance when the command's port answers, and leaves before the command stops.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

const (
	// leaveTimeout bounds the drain and deregistration before the command is stopped.
	leaveTimeout = 10 * time.Second
	// removeTimeout bounds the deregistration of an instance whose command has died.
	removeTimeout = 5 * time.Second
	// killTimeout is how long the kernel may take to end a killed command.
	killTimeout = 5 * time.Second
)

// Options say what to run. All fields are required but Service.Address.
type Options struct {
	// Connect opens the backend. While its error matches registry.ErrUnavailable, the
	// command runs unregistered and Connect is called again.
	Connect func(context.Context) (registry.Backend, error)
	// Service is the instance. Port 0 is replaced by a free port. Without an Address it
	// is this machine's, or loopback if the command answers only there.
	Service registry.ServiceInfo
	// Command is the program and its arguments, in which {port} is replaced by the
	// port. So is the environment variable PORT.
	Command []string
	// StartTimeout bounds how long the port may take to answer.
	StartTimeout time.Duration
	// StopTimeout is how long the command may take to end before it is killed.
	StopTimeout time.Duration
	// Signals are forwarded to the command. At os.Interrupt and SIGTERM the instance
	// leaves first; a second one ends the leaving.
	Signals <-chan os.Signal
	// Log reports what happens.
	Log func(format string, args ...any)
	// In, Out and Err are the command's standard streams.
	In, Out, Err *os.File
}

// Run runs the command to its end and returns its exit code. An error says that the
// command could not be started, did not answer, or was stopped because its
// registration was refused or lost. ctx bounds the start only.
func Run(ctx context.Context, o Options) (code int, err error) {
	ctx, err = registry.AssignID(ctx, &o.Service)
	if err != nil {
		return 0, err
	}
	probe, err := preparePort(ctx, &o.Service)
	if err != nil {
		return 0, err
	}
	r := &runner{Options: o, probe: probe}
	if r.backend, err = o.Connect(ctx); err != nil && !errors.Is(err, registry.ErrUnavailable) {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err != nil {
		o.Log("not registered yet: %v", err)
	}
	if r.process, err = start(r.command()); err != nil {
		return 0, err
	}
	err = r.supervise(context.WithoutCancel(ctx))
	return r.process.exitCode(), err
}

// preparePort sets the port of s if it is 0, and makes sure that it is free.
func preparePort(ctx context.Context, s *registry.ServiceInfo) (probe portProbe, err error) {
	if s.Port == 0 {
		if s.Port, err = freePort(); err != nil {
			return probe, err
		}
	}
	if probe, err = newPortProbe(s.Address, s.Port); err != nil {
		return probe, err
	}
	return probe, probe.inUse(ctx)
}

// runner is one call of Run.
type runner struct {
	Options
	probe   portProbe
	process *process
	backend registry.Backend // nil until the backend could be reached
}

// command returns the command with the port in place.
func (r *runner) command() *exec.Cmd {
	port := strconv.Itoa(r.Service.Port)
	args := make([]string, len(r.Command))
	for i, arg := range r.Command {
		args[i] = strings.ReplaceAll(arg, "{port}", port)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "PORT="+port)
	if info, err := r.In.Stat(); err == nil && info.Mode()&os.ModeCharDevice == 0 {
		cmd.Stdin = r.In // a terminal stops processes of a background group that read from it
	}
	cmd.Stdout, cmd.Stderr = r.Out, r.Err
	return cmd
}

// supervise registers the instance, forwards signals, and returns once the command
// has ended and the instance has left.
func (r *runner) supervise(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	registering := r.register(ctx)
	var membership *registry.Membership
	var lost <-chan struct{}
	done := registering.done
	for {
		select {
		case <-r.process.exited:
			cancel()
			r.remove(registering)
			return nil
		case <-done:
			if registering.err != nil {
				return errors.Join(registering.err, r.stop(terminate))
			}
			done, membership = nil, registering.membership
			lost = membership.Lost()
			r.Log("registered %s of %s at %s", r.Service.ID, r.Service.Name, r.Service.HostPort())
		case <-lost:
			// Not %w: this is a failure, also if the reason is that the instance was not found.
			return errors.Join(fmt.Errorf("%v", membership.Err()), r.stop(terminate))
		case s := <-r.Signals:
			if s != os.Interrupt && s != terminate {
				r.process.signal(s)
				continue
			}
			cancel()
			r.leave(registering)
			return r.stop(s)
		}
	}
}

// stop sends s to the command, waits for its end and kills it if that takes too
// long. Signals are forwarded meanwhile.
func (r *runner) stop(s os.Signal) error {
	r.process.signal(s)
	late := time.NewTimer(r.StopTimeout)
	defer late.Stop()
	for {
		select {
		case <-r.process.exited:
			return nil
		case s := <-r.Signals:
			r.process.signal(s)
		case <-late.C:
			return r.killed()
		}
	}
}

// killed kills the command, which has not stopped in time.
func (r *runner) killed() error {
	r.Log("the command has not ended within %v (--stop-timeout): killing it", r.StopTimeout)
	r.process.kill()
	late := time.NewTimer(killTimeout)
	defer late.Stop()
	select {
	case <-r.process.exited:
		return nil
	case <-late.C:
		return fmt.Errorf("the command is still there %v after it was killed", killTimeout)
	}
}
