package redistest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A server dies with the process that started it, however that ended.
func TestServerDiesWithItsTest(t *testing.T) {
	for _, how := range []string{"kill", "panic"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), doomedEnv+"="+how)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var pid, addr, dir string
			if _, err := fmt.Fscan(out, &pid, &addr, &dir); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if how == "kill" {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the process ended well")
			}
			err = within(5*time.Second, func(context.Context) error {
				line, err := os.ReadFile("/proc/" + pid + "/cmdline")
				if err != nil || !strings.Contains(string(line), dir) {
					return nil
				}
				return fmt.Errorf("redis-server %s still runs as process %s", addr, pid)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
