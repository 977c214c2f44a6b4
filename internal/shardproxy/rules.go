package shardproxy

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// forbidden are commands that need a Cluster's nodes or a database of its own.
var forbidden = []string{"CLUSTER", "SELECT", "ASKING", "READONLY", "READWRITE"}

// declaredKeys is what every script begins with here: it replaces redis.call and
// redis.pcall by functions that refuse keys which are not in KEYS.
//
//go:embed declared_keys.lua
var declaredKeys string

// checked returns the text that the server runs instead of a script's. The numbers of its lines stay.
func checked(text string) string {
	return strings.ReplaceAll(declaredKeys, "\n", " ") + text
}

func shaOf(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// apply returns what is sent to the server in place of a request. A refusal is a
// request, too: one that the server answers with the error, in its turn.
func (p *Proxy) apply(request []string) []string {
	if p.rule != nil {
		return p.rule(request)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(request) == 0 || p.lenient {
		return request
	}
	command := strings.ToUpper(request[0])
	if slices.Contains(forbidden, command) {
		return p.refuse("ERR command is not allowed: %s", command)
	}
	keys := KeysOf(request)
	for _, key := range keys[min(1, len(keys)):] {
		if Slot(key) != Slot(keys[0]) {
			return p.refuse("CROSSSLOT Keys in request don't hash to the same slot (context='', command='%s', original-slot='%d', wrong-slot='%d', first-key='%s', violating-key='%s')",
				strings.ToLower(command), Slot(keys[0]), Slot(key), keys[0], key)
		}
	}
	switch command {
	case "EVAL", "EVALSHA":
		return p.applyToScript(command, request, keys)
	case "SCRIPT":
		if len(request) == 3 && strings.EqualFold(request[1], "LOAD") {
			p.learn(request[2])
			return []string{request[0], request[1], checked(request[2])}
		}
	case "INFO":
		if len(request) == 2 && strings.EqualFold(request[1], "server") {
			return []string{"EVAL", "return ARGV[1]", "0", fmt.Sprintf("# Server\r\nrun_id:%040x\r\n", rand.Uint64())}
		}
	}
	return request
}

// applyToScript has a script run with the check of its keys.
func (p *Proxy) applyToScript(command string, request, keys []string) []string {
	if len(keys) == 0 {
		return p.refuse("ERR %s must name at least one key", command)
	}
	rewritten := slices.Clone(request)
	if command == "EVAL" {
		p.learn(request[1])
		rewritten[1] = checked(request[1])
		return rewritten
	}
	known, ok := p.scripts[strings.ToLower(request[1])]
	if !ok {
		return p.refuse("NOSCRIPT No matching script. Please use EVAL.")
	}
	rewritten[1] = known
	return rewritten
}

func (p *Proxy) learn(text string) {
	sha := shaOf(checked(text))
	p.scripts[shaOf(text)], p.scripts[sha] = sha, sha
}

func (p *Proxy) refuse(format string, args ...any) []string {
	message := fmt.Sprintf(format, args...)
	word, _, _ := strings.Cut(message, " ")
	p.refused[word]++
	return Refusal(message)
}

// keyless are commands without keys, of those that clients and scripts of registries send.
var keyless = []string{"ACL", "AUTH", "CLIENT", "COMMAND", "CONFIG", "DBSIZE", "DISCARD", "ECHO", "EXEC", "FLUSHALL", "FLUSHDB", "HELLO", "INFO",
	"KEYS", "MONITOR", "MULTI", "PING", "PSUBSCRIBE", "PUBLISH", "PUBSUB", "PUNSUBSCRIBE", "QUIT", "SCAN", "SCRIPT", "SUBSCRIBE", "TIME", "UNSUBSCRIBE"}

// KeysOf returns the keys of a request. Of commands that it does not know it takes the
// first argument for the only key.
func KeysOf(request []string) []string {
	if len(request) < 2 {
		return nil
	}
	switch command := strings.ToUpper(request[0]); {
	case slices.Contains(keyless, command):
		return nil
	case command == "EVAL" || command == "EVALSHA":
		if len(request) < 3 {
			return nil
		}
		n, err := strconv.Atoi(request[2])
		if err != nil || n < 0 || n > len(request)-3 {
			return nil // the server replies with an error
		}
		return request[3 : 3+n]
	case slices.Contains([]string{"DEL", "EXISTS", "MGET", "TOUCH", "UNLINK", "WATCH"}, command):
		return request[1:]
	case command == "MSET" || command == "MSETNX":
		var keys []string
		for i := 1; i < len(request); i += 2 {
			keys = append(keys, request[i])
		}
		return keys
	}
	return request[1:2]
}

// slots is the number of slots.
const slots = 16384

// Slot returns the slot of a key: CRC16 (XMODEM) of its hash tag, or else of all of it.
func Slot(key string) int {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}
