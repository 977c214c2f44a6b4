package redisstore

import (
	"log/slog"
	"strings"
)

// warnOfPolicy logs when the server may evict registrations. memory is what
// INFO memory says, or empty where the user may not ask.
func warnOfEviction(logger *slog.Logger, memory string) {
	for line := range strings.Lines(memory) {
		policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if ok && policy != "noeviction" {
			logger.Warn("Redis may evict registrations when its memory is full; set maxmemory-policy to noeviction",
				"maxmemory-policy", policy)
		}
	}
}
