package redistest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

const (
	caFile   = "ca.pem"
	certFile = "server.pem"
	keyFile  = "server.key"
)

// CA is a certificate authority.
type CA struct {
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	serial atomic.Int64
}

// NewCA makes a certificate authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca, err := newCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// With a name of its own, as several may be trusted at a time.
	name := "Rollcall test CA " + rand.Text()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &CA{key: key, cert: cert}, err
}

// PEM returns the authority's certificate.
func (ca *CA) PEM() []byte { return encodePEM("CERTIFICATE", ca.cert.Raw) }

// Issue returns a new certificate, for clients and for servers on localhost and
// 127.0.0.1, and its key, both as PEM.
func (ca *CA) Issue(t testing.TB) (cert, key []byte) {
	t.Helper()
	cert, key, err := ca.issue()
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (ca *CA) issue() (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + ca.serial.Add(1)),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    ca.cert.NotBefore,
		NotAfter:     ca.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER), nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// writeCertificates gives the server a certificate of issuer and has it trust
// certificates of the other authorities. It returns what a client needs.
func (s *Server) writeCertificates(issuer *CA, trusted ...*CA) (*tls.Config, error) {
	serverCert, serverKey, err := issuer.issue()
	if err != nil {
		return nil, err
	}
	var roots bytes.Buffer
	for _, ca := range trusted {
		roots.Write(ca.PEM())
	}
	for name, content := range map[string][]byte{caFile: roots.Bytes(), certFile: serverCert, keyFile: serverKey} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(issuer.cert)
	config := &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	if !s.opts.clientCertificates {
		return config, nil
	}
	clientCert, clientKey, err := trusted[0].issue()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(clientCert, clientKey)
	config.Certificates = []tls.Certificate{pair}
	return config, err
}

// SetCAs gives the running server a certificate of issuer, and has it accept client
// certificates of the trusted authorities only. Both hold for new connections. A
// Sentinel cannot change them.
func (s *Server) SetCAs(issuer *CA, trusted ...*CA) {
	s.t.Helper()
	if !s.opts.tls || len(trusted) == 0 {
		s.t.Fatal(errors.New("SetCAs needs a server WithTLS, and an authority to trust"))
	}
	config, err := s.writeCertificates(issuer, trusted...)
	if err != nil {
		s.t.Fatal(err)
	}
	// Setting one of the files has the server read all of them.
	s.must("CONFIG", "SET", "tls-cert-file", filepath.Join(s.dir, certFile))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tls = config
}

// sharedCA has several servers with these options share an authority, and a Cluster
// speak TLS among its nodes.
func sharedCA(t testing.TB, opts []Option) Option {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if !o.tls {
		return func(*options) {}
	}
	ca := NewCA(t)
	return func(o *options) {
		o.ca = ca
		o.conf = append(o.conf, "tls-cluster yes")
	}
}
