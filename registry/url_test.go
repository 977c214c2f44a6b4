package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParseURL(t *testing.T) {
	secret := writeFile(t, "secret", "from file\n")
	for raw, want := range map[string]RedisRegistryConfig{
		"redis://":                  {},
		"redis://host":              {RedisAddr: "host:6379"},
		"REDIS://host/":             {RedisAddr: "host:6379"},
		"redis:///3":                {DB: 3},
		"redis://[::1]:7000/2":      {RedisAddr: "[::1]:7000", DB: 2},
		"redis://[fe80::1%25eth0]":  {RedisAddr: "[fe80::1%eth0]:6379"},
		"redis://host?db=4":         {RedisAddr: "host:6379", DB: 4},
		"redis://:pw@host":          {RedisAddr: "host:6379", Password: "pw"},
		"redis://u%40x:p%2F%3A@h:1": {RedisAddr: "h:1", Username: "u@x", Password: "p/:"},
		"redis://user:pass@host:6379/0?ttl=30s&heartbeat=10s&namespace=x": {
			RedisAddr: "host:6379", Username: "user", Password: "pass",
			TTL: 30 * time.Second, HeartbeatInterval: 10 * time.Second, Namespace: "x"},
		"redis://user@host?password_file=" + url.QueryEscape(secret): {RedisAddr: "host:6379", Username: "user", Password: "from file"},
		"redis+sentinel://h1:26379/mymaster?addr=h2:26379&addr=h3:26379&db=0": {
			Addrs: []string{"h1:26379", "h2:26379", "h3:26379"}, MasterName: "mymaster"},
		"redis+sentinel://u:p@h1/my%20master?addr=h2&addr=[::1]&db=5&sentinel_username=s&sentinel_password_file=" + url.QueryEscape(secret): {
			Addrs: []string{"h1:26379", "h2:26379", "[::1]:26379"}, MasterName: "my master", Username: "u", Password: "p",
			DB: 5, SentinelUsername: "s", SentinelPassword: "from file"},
		"redis+cluster://h1:6379?addr=h2:6379": {Addrs: []string{"h1:6379", "h2:6379"}},
		"redis+cluster://h1":                   {Addrs: []string{"h1:6379"}},
		"redis+cluster://h1/?db=0":             {Addrs: []string{"h1:6379"}},
	} {
		got, err := ParseURL(raw)
		got.files = urlFiles{} // see TestURLFilesAreReadForEachConnection
		if err != nil {
			t.Errorf("%s: %v", raw, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", raw, got, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	const pw = "hunter2"
	secret := writeFile(t, "secret", pw)
	empty := writeFile(t, "empty", "\n")
	noCert := writeFile(t, "cert", pw)
	for raw, want := range map[string]string{
		"":                                          "URL: scheme: is missing",
		"host:6379":                                 "URL: scheme",
		"local:":                                    "URL: scheme: is local:, which is not Redis",
		"http://:hunter2@host":                      "URL: scheme",
		"redis+foo://host":                          "URL: scheme",
		"redis:host":                                "URL: syntax: //",
		"redis:/host":                               "URL: syntax: //",
		"redis://:hunter2%zz@host":                  "URL: syntax",
		"redis://:hunter2 @host":                    "URL: syntax",
		"redis://u:hunter2/x@host":                  "URL: syntax",
		"redis://u:1/hunter2@host":                  "URL: syntax: an @",
		"redis://u:1?hunter2=@host":                 "URL: syntax: an @",
		"redis://u:1#hunter2@host":                  "URL: syntax: an @",
		"redis://h#hunter2":                         "URL: fragment",
		"redis://h#":                                "URL: fragment",
		"redis://:hunter2@h:70000":                  "URL: host",
		"redis://:hunter2@h:0":                      "URL: host",
		"redis://:hunter2@h:x":                      "URL: syntax",
		"redis://:hunter2@h o":                      "URL: syntax",
		"redis://:hunter2@h/x":                      "URL: path",
		"redis://h/-1":                              "URL: path",
		"redis://h/1/2":                             "URL: path",
		"redis://h/1?db=1":                          "URL: db",
		"redis://h?db=x":                            "URL: db",
		"redis://h?addr=h2":                         "URL: addr",
		"redis://h?ttl=10":                          "URL: ttl",
		"redis://h?ttl=0s":                          "URL: ttl",
		"redis://h?ttl=":                            "URL: ttl: is empty",
		"redis://h?ttl=10s&ttl=10s":                 "URL: ttl: is given more than once",
		"redis://h?ttl=50ms":                        "TTL",
		"redis://h?ttl=1s&heartbeat=1s":             "HeartbeatInterval",
		"redis://h?namespace=%0a":                   "Namespace",
		"redis://h?x=%zz":                           "URL: parameters",
		"redis://h?a;b":                             "URL: parameters",
		"redis://h?unknown=hunter2":                 "URL: parameters: unknown is unknown",
		"redis://h?hunter2":                         "URL: parameters: one is unknown",
		"redis://h?password=hunter2":                "URL: password: is not accepted",
		"redis://h?insecure=1":                      "URL: parameters: insecure",
		"redis://h?ca_file=x":                       "URL: ca_file: needs TLS",
		"redis://h?sentinel_username=x":             "URL: sentinel_username: needs",
		"redis://user@h":                            "Username",
		"redis://:hunter2@h?password_file=" + empty: "URL: password_file: the URL already has",
		"redis://h?password_file=" + empty:          "URL: password_file: " + empty,
		"redis://h?password_file=" + empty + "x":    "URL: password_file: stat " + empty + "x",
		"redis://h?password_file=/dev/zero":         "URL: password_file: /dev/zero is not a regular",
		"redis+sentinel://h":                        "URL: path: the primary's name is missing",
		"redis+sentinel://h/":                       "URL: path",
		"redis+sentinel:///m":                       "URL: host",
		"redis+sentinel://h/m/0":                    "URL: path",
		"redis+sentinel://h/m?addr=":                "URL: addr",
		"redis+sentinel://h/m?addr=h:0":             "URL: addr",
		"redis+cluster://":                          "URL: host",
		"redis+cluster://h/0":                       "URL: path",
		"redis+cluster://h?db=1":                    "DB",
		"rediss://h?ca_file=" + noCert:              "URL: ca_file: " + noCert,
		"rediss://h?cert_file=x":                    "URL: cert_file: must be given together with key_file",
		"rediss://h?cert_file=" + noCert + "&key_file=" + secret: "URL: cert_file: " + noCert,
	} {
		c, err := ParseURL(raw)
		if !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%s: got %v and %v, want an error that matches ErrInvalidConfig", raw, c, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "invalid configuration: "+want) {
			t.Errorf("%s: got %q, want %q", raw, err, want)
		}
		if strings.Contains(err.Error(), pw) {
			t.Errorf("%s: %q shows a password", raw, err)
		}
	}
}

func TestParseURLWithTLS(t *testing.T) {
	cert, keyFile := writeCertificate(t, t.TempDir(), 1)
	for _, raw := range []string{"rediss://h", "rediss+cluster://h", "rediss+sentinel://h/m"} {
		c, err := ParseURL(raw + "?server_name=s&ca_file=" + cert + "&cert_file=" + cert + "&key_file=" + keyFile)
		if err != nil {
			t.Fatal(err)
		}
		got := c.TLSConfig
		if got == nil || got.ServerName != "s" || got.RootCAs == nil || len(got.Certificates) != 1 || got.InsecureSkipVerify {
			t.Errorf("%s: got %+v", raw, got)
		}
		if c, err = ParseURL(raw); err != nil || c.TLSConfig == nil || c.TLSConfig.RootCAs != nil {
			t.Errorf("%s: got %v, %v", raw, c, err)
		}
	}
}

// writeCertificate writes a self-signed certificate and its key to files in dir.
func writeCertificate(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	overwrite(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	overwrite(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return certFile, keyFile
}

func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseURL(f *testing.F) {
	const marker = "hunter2zq"
	f.Add("redis", "", "h:6379/0?ttl=30s", "u", "p@/#?", "h", 6379, 0, "ns")
	f.Add("rediss+sentinel", "/x", "h/m?addr=h2&db=1", "", ":", "::1", 1, 5, "a&b=c")
	f.Add("redis+cluster", "?a=b;", "h?addr=:1", "名", "%zz", "10.0.0.1", 65535, 0, " ")
	f.Add("x:", "%", "h#y", "", "", "", 0, -1, "")
	f.Fuzz(func(t *testing.T, scheme, junk, tail, user, password, host string, port, db int, namespace string) {
		// Whatever follows the password, it stays out of errors.
		if !strings.Contains(scheme+junk+tail, marker[:4]) {
			if c, err := ParseURL(scheme + "://user:" + marker + junk + "@" + tail); err != nil {
				if strings.Contains(err.Error(), marker) {
					t.Fatalf("%q shows the password", err)
				}
				if !errors.Is(err, ErrInvalidConfig) {
					t.Fatalf("%v does not match ErrInvalidConfig", err)
				}
			} else if strings.Contains(c.String(), marker) {
				t.Fatalf("%v shows the password", c)
			}
		}

		// A well-formed password is returned unchanged.
		want := RedisRegistryConfig{
			RedisAddr: net.JoinHostPort(host, strconv.Itoa(port)), Username: user, Password: password, DB: db, Namespace: namespace,
		}
		addr := host
		if strings.Contains(host, ":") {
			if net.ParseIP(host) == nil {
				return
			}
			addr = "[" + host + "]"
		}
		if host == "" || namespace == "" || password == "" || want.withDefaults().validate() != nil || db > 1<<30 {
			return
		}
		u := url.URL{
			Scheme: "redis", User: url.UserPassword(user, password), Host: addr + ":" + strconv.Itoa(port),
			Path: "/" + strconv.Itoa(db), RawQuery: url.Values{"namespace": {namespace}}.Encode(),
		}
		if strings.ContainsAny(host, "%\"<>\\^`{|}?#!$&'()*+,;=~") {
			return // not every host has a form in a URL
		}
		got, err := ParseURL(u.String())
		if err != nil {
			t.Fatalf("%s: %v", &u, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %#v, want %#v (password %q, want %q)", &u, got, want, got.Password, want.Password)
		}
	})
}
