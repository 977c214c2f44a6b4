package faults

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// setClock makes this process's wall clock wrong by d, whole seconds, and leaves
// its monotonic clock alone. A preloaded library cannot: Go asks the kernel's vDSO for the
// time, not libc. So the vDSO's clock_gettime is replaced, in this process's copy,
// by one that makes the system call and adds d.
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
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("there is no code for %s; run the tests on amd64", runtime.GOARCH)
	}
	start, end, err := findVDSO()
	if err != nil {
		return err
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	library := make([]byte, end-start)
	if _, err := memory.ReadAt(library, start); err != nil {
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
		if s.Name == "__vdso_clock_gettime" {
			// The kernel copies the page for this process before it is written to.
			_, err := memory.WriteAt(clockCode(int32(d/time.Second)), start+int64(s.Value))
			return err
		}
	}
	return errors.New("the vDSO has no clock_gettime")
}

func findVDSO() (start, end int64, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end, err
		}
	}
	return 0, 0, errors.New("this process has no vDSO")
}

func clockCode(seconds int32) []byte {
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, clock_gettime's number
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: the wall clock is number 0
		0x75, 7, // jnz past the next
		0x48, 0x81, 0x06, // add qword ptr [rsi], seconds
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(seconds))
	return append(code, 0xc3) // ret
}
