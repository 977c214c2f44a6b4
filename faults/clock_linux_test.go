package faults

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// setClock makes this process's wall clock wrong by d, whole seconds, and leaves
// its monotonic clock. libfaketime cannot: Go asks the kernel's vDSO, not libc. So
// the vDSO's clock_gettime is replaced, in this process's copy, by one that asks
// the kernel and adds d.
func setClock(d time.Duration) {
	if d == 0 {
		return
	}
	if err := patchClock(d); err != nil {
		fmt.Fprintln(os.Stderr, "setting a wrong clock:", err)
		os.Exit(1)
	}
}

func patchClock(d time.Duration) error {
	code, err := clockCode(int32(d / time.Second))
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	var start, end uintptr
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
				return err
			}
		}
	}
	if start == 0 {
		return fmt.Errorf("this process has no vDSO")
	}
	image, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	library := make([]byte, end-start)
	if _, err := image.ReadAt(library, int64(start)); err != nil {
		return err
	}
	file, err := elf.NewFile(bytes.NewReader(library))
	if err != nil {
		return err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" || s.Name == "__kernel_clock_gettime" {
			// Written through mem, which makes a private copy of the page.
			_, err := image.WriteAt(code, int64(start)+int64(s.Value))
			return err
		}
	}
	return fmt.Errorf("the vDSO has no clock_gettime")
}

// clockCode is clock_gettime by system call, seconds added to the wall clock.
func clockCode(seconds int32) ([]byte, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("no code for %s here", runtime.GOARCH)
	}
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: the wall clock is number 0
		0x75, 7, // jnz past the next
		0x48, 0x81, 0x06, 0, 0, 0, 0, // add qword ptr [rsi], seconds
		0xc3, // ret
	}
	*(*int32)(unsafe.Pointer(&code[14])) = seconds
	return code, nil
}

var _ = syscall.SYS_CLOCK_GETTIME
