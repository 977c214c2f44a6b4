package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var (
	// errReply is returned when a script's reply has another form than expected.
	errReply = errors.New("unexpected reply to a script; is another program using these keys?")

	// errLate is returned when Redis's clock was past the call's deadline, because the
	// call was delayed or the clock was set forward. The reply gave the present time.
	errLate = errors.New("the call reached Redis after its deadline")
)

// errForeignData is returned when a record cannot leave the service in which it stands.
const errForeignData = serverError("WRONGTYPE the service in which this ID is registered now holds another program's data")

// serverError is an error of the server that a script passed on in its reply.
type serverError string

func (e serverError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (serverError) RedisError() {}

// refusal returns the error of the server with which a script's write failed; nil
// for "". Redis 6.2 puts "@user_script: LINE: -" before it.
func refusal(reply string) error {
	if reply == "" {
		return nil
	}
	if strings.HasPrefix(reply, "@user_script") {
		for range 2 {
			if _, rest, ok := strings.Cut(reply, ": "); ok {
				reply = rest
			}
		}
	}
	return serverError(strings.TrimSpace(strings.TrimPrefix(reply, "-")))
}

// noPermission reports whether the server says that the user has no right to a command.
func noPermission(err error) bool {
	if err == nil {
		return false
	}
	// In scripts it has no prefix of its own. The first text is that of Redis 7.0 and
	// older, the second that of later ones and of Valkey.
	return redis.HasErrorPrefix(err, "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't") ||
		strings.Contains(err.Error(), "ACL failure in script")
}

// isForeignData reports whether another program's data is in the place of a key. In a
// pipeline it is an error of that command only.
func isForeignData(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// unavailable wraps an error of a request in those of package store.
func unavailable(err error) error {
	if isForeignData(err) {
		return fmt.Errorf("%w: %w: %w", store.ErrUnavailable, store.ErrForeignData, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// callError returns what a caller gets for the error of a request.
func (s *Store) callError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	return unavailable(err)
}
