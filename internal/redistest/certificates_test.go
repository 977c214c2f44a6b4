package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	s := Start(t, WithClientCertificates())
	set(t, s, "key")
	without := s.ClientTLS()
	without.Certificates = nil
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), TLSConfig: without, MaxRetries: -1})
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("the server answered a client without a certificate")
	}
}

func TestSetCAs(t *testing.T) {
	t.Parallel()
	s := Start(t, WithClientCertificates())
	before, next := s.ClientTLS(), NewCA(t)
	open := s.Client(t)
	if err := open.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dial := func() error {
		client := redis.NewClient(&redis.Options{Addr: s.Addr(), TLSConfig: before.Clone(), MaxRetries: -1})
		defer client.Close()
		return client.Ping(t.Context()).Err()
	}
	s.SetCAs(s.CA(), next, s.CA())
	if err := dial(); err != nil {
		t.Fatalf("with both authorities trusted: %v", err)
	}
	set(t, s, "key") // with a certificate of the next
	s.SetCAs(s.CA(), next)
	if dial() == nil {
		t.Fatal("a certificate of an authority that is no longer trusted was accepted")
	}
	s.SetCAs(next, s.CA())
	if dial() == nil {
		t.Fatal("a server with a certificate of the next authority was trusted")
	}
	set(t, s, "key")
	if err := open.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("an open connection was closed: %v", err)
	}
}

func TestGroupsWithTLS(t *testing.T) {
	t.Parallel()
	group := StartSentinels(t, WithClientCertificates())
	set(t, group.Primary(), "key")
	cluster := StartCluster(t, 3, 1, WithTLS())
	set(t, cluster.NodeOf("key"), "key")
}
