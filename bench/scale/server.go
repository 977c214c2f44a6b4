package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/rollcall-sd/rollcall/internal/freeport"
	"github.com/rollcall-sd/rollcall/internal/serverprogram"
)

// startServer runs a redis-server of one's own until stop is called.
func startServer(ctx context.Context) (addr string, stop func(), err error) {
	program, err := serverprogram.Path()
	if err != nil {
		return "", nil, fmt.Errorf("the costs are measured on a real server: %w", err)
	}
	dir, err := os.MkdirTemp("", "rollcall-scale-")
	if err != nil {
		return "", nil, err
	}
	port, lock, err := freeport.Reserve()
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd := exec.CommandContext(ctx, program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--save", "")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	clean := func() {
		lock.Close()
		_ = os.RemoveAll(dir)
	}
	if err := cmd.Start(); err != nil {
		clean()
		return "", nil, fmt.Errorf("starting %s: %w", program, err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		clean()
	}
	for range 200 {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return addr, stop, conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("%s does not listen on %s", program, addr)
}
