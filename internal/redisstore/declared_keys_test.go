package redisstore

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// With one slot per script every script declares every key that it touches: MONITOR shows
// both, while the conformance suite runs each script.
func TestScriptsTouchDeclaredKeysOnly(t *testing.T) {
	server := redistest.Start(t)
	cfg := redisclient.Config{Addr: server.Addr()}
	m := startMonitor(t, server.Client(t))
	open := func(t *testing.T, cfg redisclient.Config, namespace, owner string) *Store {
		s := openTest(t, cfg, namespace, owner)
		s.useOneSlot()
		return s
	}
	runConformance(t, cfg, open, false, server)
	runOtherScripts(t, open(t, cfg, "others", "alpha"))
	m.stop()
	if m.touched == 0 {
		t.Error("MONITOR showed no command of a script")
	}
	for name, s := range map[string]*script{
		"put": putScript, "renew": renewScript, "remove": removeScript, "read": readScript, "read_catalog": readCatalogScript,
		"cluster_index": clusterIndexScript, "patch_overlay": patchOverlayScript, "watcher_lease": watcherLeaseScript,
		"lagging_watchers": laggingWatchersScript, "collect": collectScript, "probe": probeScript,
	} {
		if !m.ran[s.sha] {
			t.Errorf("the script %s did not run", name)
		}
	}
}

// runOtherScripts runs the scripts that the conformance suite does not, and closes the store.
func runOtherScripts(t *testing.T, s *Store) {
	t.Helper()
	defer closeTest(t, s)
	put := s.Put(t.Context(), []store.Put{putOf("web", "a", "1")})[0]
	if put.Err != nil {
		t.Fatal(put.Err)
	}
	leases := []store.WatcherLease{{Service: "web", TTL: testTTL, Acknowledged: readTest(t, s, "web").Rev}}
	if result := s.RenewWatcherLeases(t.Context(), leases)[0]; result.Err != nil {
		t.Fatal(result.Err)
	}
	s.collect("web") // in the batch of the next call, or before
	if _, err := s.LaggingWatchers(t.Context(), "web", "a", leases[0].Acknowledged); err != nil {
		t.Fatal(err)
	}
}

// monitorLog compares what scripts touch with what they declare.
type monitorLog struct {
	t       *testing.T
	admin   *redis.Client
	conn    net.Conn
	done    sync.WaitGroup
	ran     map[string]bool // by hash
	touched int             // commands of scripts
}

func startMonitor(t *testing.T, admin *redis.Client) *monitorLog {
	t.Helper()
	conn, err := net.DialTimeout("tcp", admin.Options().Addr, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	m := &monitorLog{t: t, admin: admin, conn: conn, ran: make(map[string]bool)}
	if _, err := conn.Write([]byte("*1\r\n$7\r\nMONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	if line, err := lines.ReadString('\n'); err != nil || line != "+OK\r\n" {
		t.Fatalf("MONITOR: %q, %v", line, err)
	}
	m.done.Go(func() { m.compare(lines) })
	return m
}

// stop waits until the log has everything that was sent before.
func (m *monitorLog) stop() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	if err := m.admin.Echo(ctx, lastWord).Err(); err != nil {
		m.t.Error(err)
	}
	_ = m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	m.done.Wait()
	_ = m.conn.Close()
}

// lastWord ends the log when it is echoed.
const lastWord = "the end of the log"

func (m *monitorLog) compare(lines *bufio.Reader) {
	var script string
	var declared []string
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			m.t.Errorf("MONITOR ended: %v", err)
			return
		}
		// +TIME [DB ADDRESS] "COMMAND" "ARGUMENT"..., where the address of a script is lua.
		source, rest, ok := strings.Cut(line, "] ")
		request := quotedWords(rest)
		if !ok || len(request) == 0 {
			m.t.Errorf("MONITOR: %q", line)
			continue
		}
		if request[len(request)-1] == lastWord {
			return
		}
		if !strings.HasSuffix(source, " lua") {
			switch strings.ToUpper(request[0]) {
			case "EVAL":
				script, declared = fmt.Sprintf("%.60q", request[1]), shardproxy.KeysOf(request)
				sum := sha1.Sum([]byte(request[1]))
				m.ran[hex.EncodeToString(sum[:])] = true
			case "EVALSHA":
				script, declared = request[1], shardproxy.KeysOf(request)
				m.ran[request[1]] = true
			}
			continue
		}
		m.touched++
		for _, key := range shardproxy.KeysOf(request) {
			if !slices.Contains(declared, key) {
				m.t.Errorf("script %s declares %q and touches %q: %.200q", script, declared, key, request)
			}
		}
	}
}

// quotedWords splits a line of MONITOR, in which words are quoted as in C.
func quotedWords(line string) []string {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil
		}
		words, line = append(words, word), line[len(quoted):]
	}
	return words
}
