package redistest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// doomedEnv makes the test binary start a server and die in the way it names.
const doomedEnv = "ROLLCALL_TESTREDIS_DOOMED"

func TestMain(m *testing.M) {
	if how := os.Getenv(doomedEnv); how != "" {
		doom(how)
	}
	goleak.VerifyTestMain(m)
}

func doom(how string) {
	s, err := start()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.current().pid, s.Addr(), s.dir)
	if how == "panic" {
		panic("as asked")
	}
	select {}
}
