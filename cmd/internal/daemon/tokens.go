package daemon

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenFile is a file with a token a line. Empty lines and lines that begin with # do
// not count. It is read again when it changes. While it cannot be read, the tokens
// that were read last stay valid. It is safe for concurrent use.
type tokenFile struct {
	path   string
	logger *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	changed time.Time // the file's time of modification
	size    int64
	failed  bool
	sums    [][sha256.Size]byte // of the tokens: all have the same length
}

// tokenCheckInterval is the least time between two looks at a file.
const tokenCheckInterval = time.Second

// maxTokenFile bounds the file, in bytes.
const maxTokenFile = 1 << 20

func openTokenFile(path string, logger *slog.Logger) (*tokenFile, error) {
	f := &tokenFile{path: path, logger: logger}
	if err := f.read(); err != nil {
		return nil, err
	}
	if len(f.sums) == 0 {
		return nil, fmt.Errorf("%s has no token", path)
	}
	return f, nil
}

func (f *tokenFile) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if info.Size() > maxTokenFile {
		return fmt.Errorf("%s is larger than %d bytes", f.path, maxTokenFile)
	}
	if info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	var sums [][sha256.Size]byte
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			sums = append(sums, sha256.Sum256([]byte(line)))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	f.changed, f.size, f.sums = info.ModTime(), info.Size(), sums
	return nil
}

// has reports whether a token stands in the file. It takes the same time for each
// token, whether it is right or wrong.
func (f *tokenFile) has(token string) bool {
	if f == nil || token == "" {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= tokenCheckInterval {
		f.looked = now
		err := f.read()
		if err != nil && !f.failed {
			f.logger.Warn("the tokens could not be read again; those read before stay valid", "file", f.path, "error", err)
		}
		f.failed = err != nil
	}
	sum := sha256.Sum256([]byte(token))
	found := 0
	for i := range f.sums {
		found |= subtle.ConstantTimeCompare(sum[:], f.sums[i][:])
	}
	return found == 1
}
