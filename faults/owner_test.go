package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// ownerEnv makes the test binary an owner: a process that registers what it
// contains as JSON and then runs the commands on its input.
const ownerEnv = "ROLLCALL_FAULTS_OWNER"

// ownerTask is what an owner does at its start.
type ownerTask struct {
	Addr      string
	Namespace string
	TTL       time.Duration
	Heartbeat time.Duration
	Clock     time.Duration // by how much its wall clock is wrong
	Services  [][2]string   // name and ID
}

// ownerLine is one line of an owner's output.
type ownerLine struct {
	Event string // ready, lost, done, services
	ID    string
	Error string
	Wall  time.Time
	Seen  []registry.ServiceInfo
}

// owner is such a process, killed when its test ends.
type owner struct {
	t      testing.TB
	pid    int
	stdin  io.WriteCloser
	exited chan struct{}

	mu    sync.Mutex
	lines []ownerLine
}

// ownerConfig takes an owner's task from a registry's configuration.
func ownerConfig(cfg registry.RedisRegistryConfig, services ...[2]string) ownerTask {
	return ownerTask{Addr: cfg.RedisAddr, Namespace: cfg.Namespace, TTL: cfg.TTL, Heartbeat: cfg.HeartbeatInterval, Services: services}
}

// startOwner starts an owner and waits until all is registered. The kernel
// kills it as soon as this process ends, stopped or not; for that the thread
// that forked it has to live on.
func startOwner(t testing.TB, task ownerTask) *owner {
	t.Helper()
	env, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{t: t, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(o.exited)
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), ownerEnv+"="+string(env))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		var out io.ReadCloser
		o.stdin, err = cmd.StdinPipe()
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
		o.pid = cmd.Process.Pid
		started <- nil
		o.read(out)
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting an owner: %v", err)
	}
	t.Cleanup(o.kill)
	stall.Measure(t, o.pid)
	o.await("ready", "", 10*time.Second)
	return o
}

func (o *owner) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line ownerLine
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			o.mu.Lock()
			o.lines = append(o.lines, line)
			o.mu.Unlock()
		}
	}
}

// find returns the first line of an event, if there is one.
func (o *owner) find(event, id string) (ownerLine, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range o.lines {
		if line.Event == event && line.ID == id {
			return line, true
		}
	}
	return ownerLine{}, false
}

// await waits for a line.
func (o *owner) await(event, id string, limit time.Duration) ownerLine {
	o.t.Helper()
	var line ownerLine
	within(o.t, time.Now(), limit, "owner says "+event, func() error {
		var ok bool
		if line, ok = o.find(event, id); ok {
			return nil
		}
		select {
		case <-o.exited:
			return errors.New("it has ended")
		default:
			return errors.New("it has not")
		}
	})
	return line
}

// send sends a command: "register name id", "deregister id", "discover name" or "watch name".
func (o *owner) send(words ...string) {
	o.t.Helper()
	if _, err := fmt.Fprintln(o.stdin, strings.Join(words, "\t")); err != nil {
		o.t.Fatalf("writing to an owner: %v", err)
	}
}

func (o *owner) signal(sig syscall.Signal) {
	o.t.Helper()
	if err := syscall.Kill(o.pid, sig); err != nil {
		o.t.Fatalf("sending %s to an owner: %v", sig, err)
	}
}

// kill ends the process by SIGKILL and waits until it is gone.
func (o *owner) kill() {
	select {
	case <-o.exited:
	default:
		_ = syscall.Kill(o.pid, syscall.SIGKILL)
		<-o.exited
	}
}

// runOwner is the owner's side.
func runOwner() {
	var task ownerTask
	if err := json.Unmarshal([]byte(os.Getenv(ownerEnv)), &task); err != nil {
		fmt.Fprintln(os.Stderr, "owner:", err)
		os.Exit(1)
	}
	setClock(task.Clock)
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(line ownerLine) {
		mu.Lock()
		defer mu.Unlock()
		line.Wall = time.Now()
		_ = out.Encode(line)
	}
	ctx := context.Background()
	r, err := registry.NewRedisRegistry(ctx, registry.RedisRegistryConfig{
		RedisAddr: task.Addr, Namespace: task.Namespace, TTL: task.TTL, HeartbeatInterval: task.Heartbeat,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "owner:", err)
		os.Exit(1)
	}
	join := func(name, id string) error {
		m, err := registry.Join(ctx, r, service(name, id))
		if err != nil {
			return err
		}
		go func() {
			<-m.Lost()
			say(ownerLine{Event: "lost", ID: m.ID(), Error: m.Err().Error()})
		}()
		return nil
	}
	for _, s := range task.Services {
		if err := join(s[0], s[1]); err != nil {
			fmt.Fprintln(os.Stderr, "owner:", err)
			os.Exit(1)
		}
	}
	say(ownerLine{Event: "ready"})
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		words := strings.Split(commands.Text(), "\t")
		done := ownerLine{Event: "done", ID: strings.Join(words, " ")}
		var err error
		switch words[0] {
		case "register":
			err = join(words[1], words[2])
		case "deregister":
			err = r.Deregister(ctx, words[1])
		case "discover":
			done.Seen, err = r.Discover(ctx, words[1])
		case "watch":
			first := make(chan struct{})
			go func() {
				acknowledge := sync.OnceFunc(func() { close(first) })
				for range r.Watch(ctx, words[1]) {
					acknowledge()
				}
			}()
			<-first
		}
		if err != nil {
			done.Error = err.Error()
		}
		say(done)
	}
	os.Exit(0) // the test closed its input: end without closing anything
}
