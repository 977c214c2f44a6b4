package grpcresolver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"

	"github.com/rollcall-sd/rollcall/grpcresolver"
	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

// certificateFor makes a certificate that is valid for a name only, and what trusts it.
func certificateFor(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// One certificate for the service's name serves callers and the probe.
func TestOneCertificateServesCallersAndTheProbe(t *testing.T) {
	certificate, pool := certificateFor(t, "api")
	secure := grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool}))
	one := startWith(t, "one", []grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&certificate))},
		withHealth(grpchealth.NewServer()))
	b := localRegistry(t)
	register(t, b, one.service())
	conn, err := grpc.NewClient("rollcall:///api", grpcresolver.With(b), secure)
	must(t, err)
	defer conn.Close()
	until(t, conn, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if got := grpcresolver.Probe(secure)(ctx, health.Target{Instance: one.service()}); got.Status != registry.StatusPassing {
		t.Errorf("the probe says %+v", got)
	}
	other := grpcresolver.Probe(secure, grpc.WithAuthority("other.example"))
	if got := other(ctx, health.Target{Instance: one.service()}); got.Status != registry.StatusCritical {
		t.Errorf("for another authority the probe says %+v", got)
	}
}
