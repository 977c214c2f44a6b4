package redisclient

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A pipeline for which no connection could be set up answers none of its
// commands, and each of them says so.
func TestEachCommandOfAFailedPipelineCarriesItsError(t *testing.T) {
	client := redis.NewClient(&redis.Options{
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, DB: 1, DisableIdentity: true, MaintNotificationsConfig: noMaintNotifications(),
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			return newFailedConn("nowhere:1", io.EOF), nil
		},
	})
	defer client.Close()
	pipe := client.Pipeline()
	pipe.HGet(context.Background(), "key", "field")
	pipe.Time(context.Background())
	for _, cmd := range Exec(context.Background(), pipe) {
		if cmd.Err() == nil {
			t.Errorf("%s carries no error", cmd.Name())
		}
	}
}
