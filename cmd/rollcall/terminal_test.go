package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// terminal opens a pseudo terminal: what is written to one end is read at the other.
func terminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() }) // it may be closed already
	var number, locked int32
	control := func(request uintptr, value *int32) {
		t.Helper()
		conn, err := user.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var failed syscall.Errno
		err = conn.Control(func(fd uintptr) {
			_, _, failed = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(value)))
		})
		if err != nil || failed != 0 {
			t.Fatal(err, failed)
		}
	}
	control(syscall.TIOCSPTLCK, &locked)
	control(syscall.TIOCGPTN, &number)
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return user, program
}

// Tables have color on a terminal, unless the user declines.
func TestColorOnATerminalOnly(t *testing.T) {
	url := redisWithPassword(t)
	fleet(t, url)
	for variable, want := range map[string]bool{"TERM=xterm": true, "NO_COLOR=1": false, "TERM=dumb": false} {
		user, program := terminal(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, binary, "ls")
		cmd.Env = append(os.Environ(), backendVariable+"="+url, "TERM=xterm", variable)
		cmd.Stdout = program
		err := cmd.Run()
		cancel()
		if err != nil {
			t.Error(err)
		}
		out := make([]byte, 4096)
		n, err := user.Read(out)
		if err != nil {
			t.Fatal(err)
		}
		_ = program.Close() // all has been read
		if text := string(out[:n]); strings.Contains(text, "\x1b[32m1\x1b[0m") != want || !strings.Contains(text, "SERVICE") {
			t.Errorf("with %s the terminal shows %q", variable, text)
		}
	}
	if r := rollcall(t, url, "ls"); strings.Contains(r.out, "\x1b") {
		t.Errorf("without a terminal: %q", r.out)
	}
}
