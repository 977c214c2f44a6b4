package servercheck

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

func checkURL(t *testing.T, url string) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := CheckURL(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestConnectionSaysWhatToChange(t *testing.T) {
	s := redistest.Start(t, redistest.WithPassword("right"))
	plain := redistest.Start(t)
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Close()
	for url, remedy := range map[string]string{
		"redis://:wrong@" + s.Addr():              "correct the user and the password",
		"redis://" + s.Addr():                     "put the user and the password into the URL",
		"redis://" + nowhere.Addr().String():      "check the address and the port",
		"redis://" + plain.Addr() + "/99":         "choose a database",
		"redis+cluster://" + plain.Addr():         "use a redis:// URL",
		"rediss://" + plain.Addr() + "?ttl=30s":   "use redis:// if the server has no TLS",
		"redis+sentinel://" + plain.Addr() + "/m": "",
	} {
		report := checkURL(t, url)
		want{"connection", Failed, "", remedy}.verify(t, report)
		if len(report.Findings) != 1 || strings.Contains(report.String(), "wrong@") {
			t.Errorf("%s:\n%s", url, report)
		}
	}
	if report := checkURL(t, "redis://:right@"+s.Addr()+"?namespace=a%3Ab"); report.Failed() {
		t.Errorf("with the password:\n%s", report)
	}
	if _, err := CheckURL(t.Context(), "redis://host:0"); err == nil {
		t.Error("a bad URL is accepted")
	}
}

// Sentinels lead to the primary, whatever they say first.
func TestPrimaryOfSentinels(t *testing.T) {
	g := redistest.StartSentinels(t)
	report := checkURL(t, "redis+sentinel://"+g.SentinelAddrs()[0]+"/"+g.MasterName())
	want{"role", Passed, "primary", ""}.verify(t, report)
	want{"writes", Passed, "", ""}.verify(t, report)
	want{"replicas", Limited, "min-replicas-to-write is not set", "CONFIG SET"}.verify(t, report)
	if report.Failed() {
		t.Errorf("a sound primary:\n%s", report)
	}
}

func TestCertificateEnds(t *testing.T) {
	s := redistest.Start(t, redistest.WithTLS())
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, s.CA().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	report := checkURL(t, s.URL()+"?ca_file="+url.QueryEscape(file))
	want{"certificate", Limited, `"localhost" ends on `, "renew it"}.verify(t, report)
	if report.Failed() {
		t.Errorf("a server with TLS:\n%s", report)
	}
	want{"connection", Failed, "certificate", "ca_file"}.verify(t, checkURL(t, s.URL()))

	now := time.Now()
	cert := func(left time.Duration) *x509.Certificate {
		return &x509.Certificate{NotAfter: now.Add(left), Subject: pkix.Name{CommonName: "redis"}}
	}
	const day = 24 * time.Hour
	if f := certificate([]*x509.Certificate{cert(365 * day), cert(31 * day)}, now); f.Result != Passed || !strings.HasSuffix(f.Detail, "in 31 days") {
		t.Errorf("31 days: %+v", f)
	}
	if f := certificate([]*x509.Certificate{cert(365 * day), cert(29 * day)}, now); f.Result != Limited || !strings.HasSuffix(f.Detail, "in 29 days") {
		t.Errorf("29 days: %+v", f)
	}
	want := "renew the certificate"
	if f := connectionFailed(x509.CertificateInvalidError{Cert: cert(-day), Reason: x509.Expired}); f.Remedy[:len(want)] != want {
		t.Errorf("one that has ended: %+v", f)
	}
}

func TestSlotsWithoutANode(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	for _, n := range cluster.Nodes {
		// Every node must know that.
		if err := n.Client(t).Do(t.Context(), "CLUSTER", "DELSLOTSRANGE", 100, 199).Err(); err != nil {
			t.Fatal(err)
		}
	}
	report := checkURL(t, "redis+cluster://"+cluster.Addrs()[0])
	want{"slots", Failed, "16284 of 16384 covered by 3 primaries; without a node: 100-199", "assign the slots"}.verify(t, report)
	want{"scripts", Failed, "EVAL: CLUSTERDOWN", "start the nodes"}.verify(t, report)
}

func TestNodeThatIsDown(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	cluster.Nodes[2].Kill()
	report := checkURL(t, "redis+cluster://"+cluster.Addrs()[0])
	want{"INFO", Failed, cluster.Nodes[2].Addr() + ": no reply: ", "start the server"}.verify(t, report)
}

// What a server says must not control a terminal.
func TestReportHasNoControlCharacters(t *testing.T) {
	report := Report{Kind: "a\x1b[31m", Findings: []Finding{failed("x", "a\nb\u009b", "c\x07", "d")}}
	if text := report.String(); strings.ContainsAny(text, "\x1b\u009b\x07") || strings.Count(text, "\n") != 4 {
		t.Errorf("%q", text)
	}
}

// The rights of each node count: ACLs are not replicated.
func TestRightsOfEachNodeOfACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	rule := strings.Fields(documentedRule(t) + " +cluster|slots +asking +command")
	for i, n := range cluster.Nodes {
		words := []any{"ACL", "SETUSER", "app", "reset", "on", ">secret"}
		for _, word := range rule {
			words = append(words, word)
		}
		if i == 1 {
			words = append(words, "-hgetall")
		}
		if err := n.Client(t).Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	report := checkURL(t, "redis+cluster://app:secret@"+cluster.Addrs()[0])
	want{"rights", Failed, cluster.Nodes[1].Addr() + ": +hgetall missing", "ACL SETUSER app +hgetall (on every node)"}.verify(t, report)
	want{"writes", Passed, "", ""}.verify(t, report)
	want{"messages", Passed, "", ""}.verify(t, report)
}
