package redisclient

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Exec runs a pipeline, after which each command carries its own error.
// go-redis gives none of them an error when it could not get a connection.
func Exec(ctx context.Context, pipe redis.Pipeliner) []redis.Cmder {
	cmds, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Err() != nil }) {
		return cmds
	}
	for _, c := range cmds {
		c.SetErr(err)
	}
	return cmds
}

// ConnectionLost reports whether err says that the connection ended during a
// request, or that the client closed it because the server moved. A request that may
// be sent twice is then worth another try at once, on a new connection. It is false
// where the server replied READONLY: the next try may reach the same replica.
func ConnectionLost(err error) bool {
	if moved := movedError(""); errors.As(err, &moved) {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
