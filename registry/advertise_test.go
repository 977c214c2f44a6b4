package registry

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
)

type otherAddr struct{ network, addr string }

func (a otherAddr) Network() string { return a.network }
func (a otherAddr) String() string  { return a.addr }

func TestAdvertiseAddrKeepsConcreteIPs(t *testing.T) {
	for _, c := range []struct {
		addr net.Addr
		host string
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, "127.0.0.1"},
		{&net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 80}, "203.0.113.7"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, "2001:db8::1"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 80}, "fe80::1%eth0"},
		{&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}, "10.0.0.1"},
		{otherAddr{"tcp", "10.0.0.2:80"}, "10.0.0.2"},
	} {
		host, port, err := AdvertiseAddr(c.addr)
		if err != nil || host != c.host || port != 80 {
			t.Errorf("AdvertiseAddr(%v) = %q, %d, %v, want %q", c.addr, host, port, err, c.host)
		}
	}
}

func TestAdvertiseAddrRefuses(t *testing.T) {
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	for _, addr := range []net.Addr{
		nil,
		unix.Addr(),
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)},
		&net.TCPAddr{IP: net.IP{1, 2}, Port: 80},
		otherAddr{"tcp", "pipe"},
		otherAddr{"pipe", "pipe"},
	} {
		if _, _, err := AdvertiseAddr(addr); !errors.Is(err, ErrInvalidService) {
			t.Errorf("AdvertiseAddr(%v): got %v, want an error that matches ErrInvalidService", addr, err)
		}
	}
}

func TestAdvertisedAddrReachesTheListener(t *testing.T) {
	for _, network := range []string{"tcp", "tcp4"} {
		l, err := net.Listen(network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		host, port, err := AdvertiseAddr(l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		s := ServiceInfo{Name: "s", Address: host, Port: port}
		if err := validateService(s); err != nil {
			t.Error(err)
		}
		conn, err := net.Dial("tcp", s.HostPort())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

func TestReachable(t *testing.T) {
	for _, c := range []struct {
		addrs []string
		only4 bool
		want  string
	}{
		{[]string{"127.0.0.1", "::1", "2001:db8::1", "169.254.1.1", "192.168.1.5", "172.17.0.1"}, false, "192.168.1.5"},
		{[]string{"203.0.113.7", "10.0.0.1"}, false, "203.0.113.7"},
		{[]string{"127.0.0.1", "fe80::1", "fd00::1"}, false, "fd00::1"},
		{[]string{"127.0.0.1", "2001:db8::1"}, true, "127.0.0.1"},
		{[]string{"::1", "127.0.0.1", "fe80::1"}, false, "127.0.0.1"},
		{[]string{"::1"}, false, "::1"},
		{nil, false, "::1"},
		{nil, true, "127.0.0.1"},
	} {
		var addrs []netip.Addr
		for _, a := range c.addrs {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		if got := reachable(addrs, c.only4); got.String() != c.want {
			t.Errorf("reachable(%v, %v) = %v, want %v", c.addrs, c.only4, got, c.want)
		}
	}
}
