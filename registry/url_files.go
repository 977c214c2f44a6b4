package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// urlFiles are the files that a URL names. ParseURL reads them, so that errors show
// early. Each new connection reads them again, because what they hold changes. What
// the caller replaced in the configuration since ParseURL takes precedence.
type urlFiles struct {
	password, sentinelPassword passwordFile

	caFile            string
	roots             *x509.CertPool // what ParseURL read from caFile
	certFile, keyFile string
	chain             [][]byte // what ParseURL read from certFile
}

// passwordFile is a file with a password.
type passwordFile struct {
	parameter, path string // of the URL; the path is "" when there is none
	password        string // what ParseURL read
}

// read returns the password that the file holds now.
func (f passwordFile) read() (string, error) {
	content, err := readRegular(f.path)
	if err != nil {
		return "", err
	}
	text, hadNewline := strings.CutSuffix(string(content), "\n")
	if hadNewline {
		text = strings.TrimSuffix(text, "\r")
	}
	if text == "" {
		return "", fmt.Errorf("%s is empty", f.path)
	}
	return text, nil
}

// credentials returns the credentials of new connections if the configuration has the
// password that ParseURL read, otherwise nil.
func (f passwordFile) credentials(username, password string) redisclient.CredentialsFunc {
	if f.path == "" || f.password != password {
		return nil
	}
	return func(context.Context) (string, string, error) {
		password, err := f.read()
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", f.parameter, err)
		}
		return username, password, nil
	}
}

// refreshTLS replaces in config what ParseURL read from files by what they hold now.
func (f *urlFiles) refreshTLS(config *tls.Config) error {
	if f.caFile != "" && config.RootCAs == f.roots {
		roots, err := readRoots(f.caFile)
		if err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
		config.RootCAs = roots
	}
	if f.certFile != "" && len(config.Certificates) == 1 &&
		slices.EqualFunc(config.Certificates[0].Certificate, f.chain, bytes.Equal) {
		cert, err := readCertificate(f.certFile, f.keyFile)
		if err != nil {
			return fmt.Errorf("cert_file, key_file: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return nil
}

func readRoots(path string) (*x509.CertPool, error) {
	content, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return roots, nil
}

func readCertificate(certPath, keyPath string) (tls.Certificate, error) {
	certPEM, err := readRegular(certPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := readRegular(keyPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s are not a certificate and its key: %w", certPath, keyPath, err)
	}
	return cert, nil
}

// maxFileBytes bounds the files named in a URL.
const maxFileBytes = 1 << 20

// readRegular reads a regular file: other files may block, or never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxFileBytes)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	if err != nil {
		return nil, err
	}
	return content, nil
}
