package registry

import (
	"context"
	"strings"
)

// Open opens the backend that a URL names: "local:" for one in memory, each time
// a new and empty one, or Redis by a URL as ParseURL describes.
//
// Like NewRedisRegistry it reaches a server once, within ctx or 5 s, and fails
// with an error that matches ErrUnavailable if it can't. No error shows a password.
func Open(ctx context.Context, url string) (Backend, error) {
	if strings.EqualFold(url, "local:") {
		if err := ctx.Err(); err != nil {
			return nil, failed("open", "local:", err)
		}
		return NewLocalRegistry(), nil
	}
	cfg, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	r, err := NewRedisRegistry(ctx, cfg)
	if err != nil {
		return nil, err // not r, whose nil is no nil Backend
	}
	return r, nil
}
