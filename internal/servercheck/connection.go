package servercheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

const (
	pings = 9 // of which the median is taken

	// slowReply is the latency that is worth knowing; tooSlow is half of what a
	// registry waits for a byte of a reply.
	slowReply = 50 * time.Millisecond
	tooSlow   = 500 * time.Millisecond

	maxOffset = time.Second // of the clocks
)

// connectionRemedies say what to do about an error of the first call, by a part of its text.
var connectionRemedies = []struct{ text, remedy string }{
	{"WRONGPASS", "correct the user and the password in the URL or in password_file"},
	{"NOAUTH", "put the user and the password into the URL, or use password_file"},
	{"AUTH", "correct the user and the password in the URL: the server may have none set"},
	{"'select'", "use database 0, or grant +select"},
	{"cluster|slots", "grant +cluster|slots +asking +command"},
	{"DB index is out of range", "choose a database that the server has, such as 0"},
	{"cluster support disabled", "use a redis:// URL for one server"},
	{"certificate has expired", "renew the certificate, or correct the clock of this machine"},
	{"certificate", "name the right CA with ca_file, and the name in the certificate with server_name"},
	{"TLS handshake", "use redis:// if the server has no TLS on this port; otherwise check ca_file, cert_file and key_file"},
	{"max number of clients", "raise maxclients of the server"},
	{"LOADING", "wait until the server has read its data"},
	{"connection refused", "check the address and the port, and that the server runs and listens there"},
	{"no such host", "check the host name"},
	{"deadline exceeded", "check the address and the firewall: the server does not answer"},
	{"timeout", "check the address and the firewall: the server does not answer"},
	{"EOF", "use rediss:// if the port speaks TLS; otherwise check what closes the connection"},
}

// checkConnection measures pings. It reports whether the server, or one of a Cluster's,
// answers.
func (c *checker) checkConnection(ctx context.Context) bool {
	client, err := c.answering(ctx)
	if err != nil {
		c.add(connectionFailed(err))
		return false
	}
	var times []time.Duration
	for range pings {
		began := time.Now()
		if err := client.Ping(ctx).Err(); err != nil && !isReply(err) {
			c.add(connectionFailed(err))
			return false
		}
		times = append(times, time.Since(began))
	}
	c.add(passed("connection", ""))
	slices.Sort(times)
	c.add(latency(times[len(times)/2], times[len(times)-1]))
	return true
}

// answering returns a client of a server that answers.
func (c *checker) answering(ctx context.Context) (redis.UniversalClient, error) {
	// On a Cluster this finds the nodes, and any of them may get it.
	err := c.Client.Ping(ctx).Err()
	if !c.cluster {
		return c.Client, unlessOfPing(err)
	}
	for _, node := range redisclient.Primaries(ctx, c.Client) {
		if pinged := unlessOfPing(node.Ping(ctx).Err()); pinged == nil {
			return node, nil
		}
	}
	return nil, cmp.Or(err, errNoNode)
}

var errNoNode = errors.New("no node of the Cluster answers")

// unlessOfPing returns an error unless it is a reply about PING: what authenticates the
// connection and chooses its database is sent ahead.
func unlessOfPing(err error) error {
	if err != nil && isReply(err) && strings.Contains(strings.ToLower(err.Error()), "ping") {
		return nil
	}
	return err
}

func connectionFailed(err error) Finding {
	remedy := "check that the address leads to a Redis server that accepts connections from here"
	for _, r := range connectionRemedies {
		if strings.Contains(err.Error(), r.text) {
			remedy = r.remedy
			break
		}
	}
	return failed("connection", err.Error(), remedy, "without a connection nothing else can be checked")
}

func latency(median, longest time.Duration) Finding {
	detail := fmt.Sprintf("median %v, longest %v of %d pings", round(median), round(longest), pings)
	switch {
	case median >= tooSlow:
		return failed("latency", detail, "use a server that is nearer, or find out what delays it: SLOWLOG GET, swapping, a full CPU",
			"a call fails when no byte of its reply arrives for 1 s, and so do heartbeats")
	case median >= slowReply:
		return limited("latency", detail, "use a server that is nearer, or find out what delays it: SLOWLOG GET, swapping, a full CPU",
			"every Discover, Register and heartbeat takes at least one round trip")
	}
	return passed("latency", detail)
}

// checkClock compares the server's clock with this machine's, by the fastest of some calls.
func (c *checker) checkClock(ctx context.Context) Finding {
	return c.forEach(func(p *part) Finding {
		var offset, fastest time.Duration
		for i := range 3 {
			began := time.Now()
			server, err := p.client.Time(ctx).Result()
			took := time.Since(began)
			if err != nil {
				return Finding{Result: Unknown, Detail: "TIME: " + err.Error()}
			}
			if i == 0 || took < fastest {
				fastest, offset = took, server.Sub(began.Add(took/2))
			}
		}
		return clock(offset, fastest/2)
	})
}

func clock(offset, accuracy time.Duration) Finding {
	direction := "ahead of"
	if offset < 0 {
		direction = "behind"
	}
	detail := fmt.Sprintf("%v %s this machine, give or take %v", round(offset.Abs()), direction, round(accuracy))
	if offset.Abs()-accuracy < maxOffset {
		return Finding{Result: Passed, Detail: detail}
	}
	return Finding{Result: Limited, Detail: detail,
		Remedy: "synchronize both clocks (chrony or ntpd), the server's by slewing",
		Why:    "leases end by the server's clock alone: calls work, but RegisteredAt and times in logs do not fit, and a step of the server's clock ends or prolongs leases until the next heartbeat"}
}
