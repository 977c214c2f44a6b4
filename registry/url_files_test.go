package registry

import (
	"bytes"
	"crypto/tls"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
)

// clientConfigOf returns how the library connects for a URL, as tune changed it.
func clientConfigOf(t *testing.T, rawURL string, tune func(*RedisRegistryConfig)) redisclient.Config {
	t.Helper()
	cfg, err := ParseURL(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	if tune != nil {
		tune(&cfg)
	}
	return cfg.withDefaults().clientConfig()
}

// A file's new content counts for the next connection. While a file cannot be read
// the error names it.
func TestURLFilesAreReadForEachConnection(t *testing.T) {
	path := writeFile(t, "password", "hunter1\n")
	file := url.QueryEscape(path)
	for raw, want := range map[string]struct {
		user, parameter string
		of              func(redisclient.Config) redisclient.CredentialsFunc
	}{
		"redis://app@h?password_file=" + file:            {"app", "password_file", redisCredentials},
		"redis://h?password_file=" + file:                {"", "password_file", redisCredentials},
		"rediss+cluster://app@h?password_file=" + file:   {"app", "password_file", redisCredentials},
		"redis+sentinel://app@h/m?password_file=" + file: {"app", "password_file", redisCredentials},
		"redis+sentinel://h/m?sentinel_username=s&sentinel_password_file=" + file: {"s", "sentinel_password_file",
			func(c redisclient.Config) redisclient.CredentialsFunc { return c.SentinelCredentials }},
	} {
		overwrite(t, path, "hunter1\n")
		ask := want.of(clientConfigOf(t, raw, nil))
		if ask == nil {
			t.Errorf("%s: the file is not read again", raw)
			continue
		}
		for _, content := range []string{"hunter1", "hunter2\r\n", "", "hunter3"} {
			overwrite(t, path, content)
			user, password, err := ask(t.Context())
			if content == "" {
				if err == nil || !strings.Contains(err.Error(), want.parameter+": "+path) || password != "" {
					t.Errorf("%s: an empty file gave %v", raw, err)
				}
			} else if user != want.user || password != strings.TrimSpace(content) || err != nil {
				t.Errorf("%s: got %q, %q, %v", raw, user, password, err)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	missing := passwordFile{parameter: "password_file", path: path}.credentials("", "")
	if _, _, err := missing(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file gave %v", err)
	}
}

func redisCredentials(c redisclient.Config) redisclient.CredentialsFunc { return c.Credentials }

func TestURLCertificatesAreReadForEachConnection(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, 1)
	query := "?ca_file=" + certFile + "&cert_file=" + certFile + "&key_file=" + keyFile
	for _, scheme := range []string{"rediss://h", "rediss+cluster://h", "rediss+sentinel://h/m"} {
		writeCertificate(t, dir, 1)
		cfg := clientConfigOf(t, scheme+query, func(c *RedisRegistryConfig) { c.TLSConfig.ServerName = "set later" })
		oldKey, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		writeCertificate(t, dir, 2)
		config := cfg.TLS.Clone()
		if err := cfg.RefreshTLS(config); err != nil {
			t.Fatal(err)
		}
		now, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		if len(config.Certificates) != 1 || !bytes.Equal(config.Certificates[0].Certificate[0], now.Certificate[0]) {
			t.Errorf("%s: the certificate is not the one in the file", scheme)
		}
		if config.RootCAs == nil || config.RootCAs.Equal(cfg.TLS.RootCAs) || config.ServerName != "set later" {
			t.Errorf("%s: the trusted certificates are those of before, or the server's name is %q", scheme, config.ServerName)
		}

		// Half of a rotation: the certificate was written, its key not yet.
		newKey, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, keyFile, string(oldKey))
		err = cfg.RefreshTLS(cfg.TLS.Clone())
		if err == nil || !strings.Contains(err.Error(), certFile) || !strings.Contains(err.Error(), keyFile) {
			t.Errorf("%s: a certificate with another key gave %v", scheme, err)
		}
		overwrite(t, keyFile, string(newKey))
		if err := cfg.RefreshTLS(cfg.TLS.Clone()); err != nil {
			t.Errorf("%s: with both files written: %v", scheme, err)
		}
		overwrite(t, certFile, "no certificate")
		if err := cfg.RefreshTLS(cfg.TLS.Clone()); err == nil || !strings.Contains(err.Error(), "ca_file: "+certFile) {
			t.Errorf("%s: a file without a certificate gave %v", scheme, err)
		}
	}
}

// What the program sets after ParseURL takes precedence over the files.
func TestConfigTakesPrecedenceOverURLFiles(t *testing.T) {
	certFile, keyFile := writeCertificate(t, t.TempDir(), 1)
	raw := "rediss+sentinel://app@h/m?password_file=" + keyFile + "&sentinel_password_file=" + keyFile +
		"&ca_file=" + certFile + "&cert_file=" + certFile + "&key_file=" + keyFile
	cfg := clientConfigOf(t, raw, func(c *RedisRegistryConfig) {
		c.Password, c.SentinelPassword, c.TLSConfig = "own", "own", &tls.Config{ServerName: "own"}
	})
	if cfg.Credentials != nil || cfg.SentinelCredentials != nil {
		t.Error("a password that the program set is replaced by the file's")
	}
	if config := cfg.TLS.Clone(); cfg.RefreshTLS(config) != nil || config.RootCAs != nil || len(config.Certificates) != 0 {
		t.Errorf("the program's TLSConfig was changed: %+v", config)
	}
	cfg = clientConfigOf(t, raw, func(c *RedisRegistryConfig) {
		c.Username, c.Password, c.Credentials = "", "", noCredentials
	})
	if user, password, err := cfg.Credentials(t.Context()); user != "" || password != "" || err != nil {
		t.Error("the program's Credentials are replaced by the file's")
	}
}

// The contract with the caller: a file that was never there is found at once.
func TestURLFilesMustBeThere(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for _, raw := range []string{
		"redis://h?password_file=", "redis+cluster://h?password_file=", "redis+sentinel://h/m?sentinel_password_file=", "rediss://h?ca_file=",
	} {
		if _, err := ParseURL(raw + missing); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}
