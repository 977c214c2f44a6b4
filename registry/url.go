package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Open opens the backend that a URL names: "local:" is a new, empty LocalRegistry,
// anything else a RedisRegistry with a URL as described at ParseURL.
//
// Like NewRedisRegistry it contacts the server once, within ctx or 5 s, and fails
// with an error that matches ErrUnavailable if it cannot. No error shows a password.
func Open(ctx context.Context, url string) (Backend, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if strings.EqualFold(url, "local:") {
		if err := ctx.Err(); err != nil {
			return nil, opError("open", "local:", err)
		}
		return NewLocalRegistry(), nil
	}
	cfg, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	r, err := NewRedisRegistry(ctx, cfg)
	if err != nil {
		return nil, err // not r: a nil *RedisRegistry is not a nil Backend
	}
	return r, nil
}

// ParseURL returns the configuration that a URL describes. Its errors match
// ErrInvalidConfig, name the part of the URL and never show a password.
//
//	redis://user:password@host:6379/0                     one server; /0 is the database
//	redis+sentinel://host1:26379/mymaster?addr=host2      Sentinels; mymaster is the primary's name
//	redis+cluster://host1:6379?addr=host2:6379            a Redis Cluster
//
// rediss, rediss+sentinel and rediss+cluster use TLS. User and password are
// those of Redis; special characters in them are percent-encoded. Ports
// default to 6379, those of Sentinels to 26379. Parameters, each at most once:
//
//	ttl, heartbeat         durations such as 30s
//	namespace              see RedisRegistryConfig.Namespace
//	addr                   another Sentinel or node of the Cluster; may be repeated
//	db                     database number, instead of the path
//	password_file          file with the password; one newline at its end is ignored
//	sentinel_username, sentinel_password_file
//	ca_file                PEM certificates to trust instead of the system's (TLS only)
//	cert_file, key_file    PEM client certificate and its key (TLS only)
//	server_name            name expected in the server's certificate (TLS only)
//
// Files must be regular files of at most 1 MiB. They are read here, to find errors
// early, and again for every new connection, so that passwords and certificates can
// change while the program runs. A file that cannot be read then fails that
// connection, with an error that names it; the next one reads it again.
func ParseURL(rawURL string) (RedisRegistryConfig, error) {
	c, err := parseURL(rawURL)
	if err != nil {
		return RedisRegistryConfig{}, err
	}
	if err := c.withDefaults().validate(); err != nil {
		return RedisRegistryConfig{}, err
	}
	return c, nil
}

func parseURL(rawURL string) (RedisRegistryConfig, error) {
	var c RedisRegistryConfig
	u, err := splitURL(rawURL)
	if err != nil {
		return c, err
	}
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	c.Username = u.User.Username()
	c.Password, _ = u.User.Password()
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, invalidURL("parameters", "a percent-encoding is broken, or ; is used for &")
	}
	q := &urlParams{values: params}

	switch kind {
	case "":
		err = c.setStandalone(u, q)
	case "sentinel":
		err = c.setSentinels(u, q)
	case "cluster":
		err = c.setCluster(u, q)
	}
	if err != nil {
		return c, err
	}
	c.TTL = q.duration("ttl")
	c.HeartbeatInterval = q.duration("heartbeat")
	c.Namespace = q.text("namespace")
	if path := q.text("password_file"); path != "" {
		if c.Password != "" {
			q.fail("password_file", "the URL already has a password before the host")
		}
		c.files.password = q.password("password_file", path)
		c.Password = c.files.password.password
	}
	if scheme == "rediss" {
		c.TLSConfig = q.tlsConfig(&c.files)
	}
	return c, q.finish()
}

// schemes lists the schemes that ParseURL accepts.
const schemes = "redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster"

// splitURL parses a URL. Its errors contain nothing of the URL, nor of net/url's
// errors, which quote it: a password with unescaped special characters may have
// become any part of it.
func splitURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case strings.TrimSpace(rawURL) != rawURL:
		return nil, invalidURL("syntax", "begins or ends with white space")
	case err != nil && !strings.Contains(rawURL, "://"):
		return nil, invalidURL("scheme", "is missing; write redis://host:6379, or local: for Open")
	case err != nil:
		return nil, invalidURL("syntax", urlProblem(err))
	}
	switch u.Scheme {
	case "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster":
	case "local":
		return nil, invalidURL("scheme", "is local:, which is not Redis; Open accepts it, with nothing after the colon")
	case "":
		return nil, invalidURL("scheme", "is missing; write redis://host:6379, or local: for Open")
	default:
		return nil, invalidURL("scheme", "is not one of "+schemes+" (and, for Open, local:); an address alone is written redis://host:6379")
	}
	_, rest, found := strings.Cut(rawURL, "://")
	if !found || u.Opaque != "" {
		return nil, invalidURL("syntax", "// is missing after the scheme")
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
		return nil, invalidURL("syntax", "an @ follows the host: percent-encode special characters (@ is %40, / is %2F, ? is %3F, # is %23)")
	}
	if strings.Contains(rest, "#") {
		return nil, invalidURL("fragment", "is not allowed: percent-encode # as %23")
	}
	return u, nil
}

func urlProblem(err error) string {
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case errors.As(err, &escape):
		return "a percent-encoding is broken"
	case errors.As(err, &host):
		return "the host has invalid characters"
	default:
		return "it is not a URL: check the port, and percent-encode special characters of user and password"
	}
}

func (c *RedisRegistryConfig) setStandalone(u *url.URL, q *urlParams) error {
	if u.Host != "" {
		addr, err := hostPort(u, defaultRedisPort)
		if err != nil {
			return err
		}
		c.RedisAddr = addr
	}
	if len(q.values["addr"]) > 0 {
		return invalidURL("addr", "several addresses need redis+cluster:// or redis+sentinel://")
	}
	path := strings.TrimPrefix(u.Path, "/")
	if path == "" {
		c.DB = q.number("db")
		return nil
	}
	if q.values.Has("db") {
		return invalidURL("db", "is already given by the path")
	}
	db, err := parseDB(path)
	if err != nil {
		return invalidURL("path", err.Error())
	}
	c.DB = db
	return nil
}

func (c *RedisRegistryConfig) setSentinels(u *url.URL, q *urlParams) error {
	addr, err := hostPort(u, defaultSentinelPort)
	if err != nil {
		return err
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	if path == "" {
		return invalidURL("path", "the primary's name is missing: redis+sentinel://host:26379/mymaster")
	}
	if strings.Contains(path, "/") {
		return invalidURL("path", "must be the primary's name only; use db= for the database")
	}
	// The path has been unescaped once by the parser, so this cannot fail.
	c.MasterName, _ = url.PathUnescape(path)
	c.Addrs = q.addrs(addr, defaultSentinelPort)
	c.DB = q.number("db")
	c.SentinelUsername = q.text("sentinel_username")
	if path := q.text("sentinel_password_file"); path != "" {
		c.files.sentinelPassword = q.password("sentinel_password_file", path)
		c.SentinelPassword = c.files.sentinelPassword.password
	}
	return nil
}

func (c *RedisRegistryConfig) setCluster(u *url.URL, q *urlParams) error {
	addr, err := hostPort(u, defaultRedisPort)
	if err != nil {
		return err
	}
	if u.Path != "" && u.Path != "/" {
		return invalidURL("path", "must be empty: a Cluster's only database is 0")
	}
	c.Addrs = q.addrs(addr, defaultRedisPort)
	c.DB = q.number("db")
	return nil
}

func hostPort(u *url.URL, port string) (string, error) {
	host := u.Hostname()
	if host == "" {
		return "", invalidURL("host", "is missing")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	addr := net.JoinHostPort(host, port)
	if validateAddr("host", addr) != nil {
		return "", invalidURL("host", "must be host:port with a port of 1-65535, and an IPv6 address in brackets")
	}
	return addr, nil
}

func parseDB(text string) (int, error) {
	db, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, errors.New("must be the number of a database, 0 or more")
	}
	return int(db), nil
}

// urlParams consumes parameters one by one and keeps the first error.
type urlParams struct {
	values url.Values
	err    error
}

func (q *urlParams) fail(name, problem string) {
	if q.err == nil {
		q.err = invalidURL(name, problem)
	}
}

// text consumes a parameter that may be given once, and then not empty.
func (q *urlParams) text(name string) string {
	values, found := q.values[name]
	delete(q.values, name)
	switch {
	case len(values) > 1:
		q.fail(name, "is given more than once")
	case found && values[0] == "":
		q.fail(name, "is empty")
	case found:
		return values[0]
	}
	return ""
}

func (q *urlParams) duration(name string) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		q.fail(name, "must be a positive duration with a unit, such as 30s")
	}
	return d
}

func (q *urlParams) number(name string) int {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := parseDB(text)
	if err != nil {
		q.fail(name, err.Error())
	}
	return n
}

func (q *urlParams) addrs(first, port string) []string {
	addrs := []string{first}
	for _, addr := range q.values["addr"] {
		addr = withPort(addr, port)
		if validateAddr("addr", addr) != nil {
			q.fail("addr", "must be host:port with a port of 1-65535, and an IPv6 address in brackets")
		}
		addrs = append(addrs, addr)
	}
	delete(q.values, "addr")
	return addrs
}

// password reads a file with a password.
func (q *urlParams) password(name, path string) passwordFile {
	f := passwordFile{parameter: name, path: path}
	if q.err != nil {
		return f
	}
	var err error
	if f.password, err = f.read(); err != nil {
		q.fail(name, err.Error())
	}
	return f
}

// tlsConfig reads the files for TLS, and notes them in files.
func (q *urlParams) tlsConfig(files *urlFiles) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: q.text("server_name")}
	files.caFile, files.certFile, files.keyFile = q.text("ca_file"), q.text("cert_file"), q.text("key_file")
	if (files.certFile == "") != (files.keyFile == "") {
		q.fail("cert_file", "must be given together with key_file")
	}
	if q.err != nil {
		return config
	}
	var err error
	if files.caFile != "" {
		if files.roots, err = readRoots(files.caFile); err != nil {
			q.fail("ca_file", err.Error())
		}
		config.RootCAs = files.roots
	}
	if files.certFile != "" {
		cert, err := readCertificate(files.certFile, files.keyFile)
		if err != nil {
			q.fail("cert_file", err.Error())
		}
		config.Certificates, files.chain = []tls.Certificate{cert}, cert.Certificate
	}
	return config
}

// parameterName matches the names that an error may quote.
var parameterName = regexp.MustCompile(`^[a-z_]{1,40}$`)

// parameters lists those that ParseURL accepts.
const parameters = "ttl, heartbeat, namespace, db, addr, password_file, sentinel_username, sentinel_password_file, ca_file, cert_file, key_file, server_name"

// finish refuses the parameters that were not consumed.
func (q *urlParams) finish() error {
	for name := range q.values {
		switch name {
		case "ca_file", "cert_file", "key_file", "server_name":
			q.fail(name, "needs TLS: use rediss instead of redis")
		case "sentinel_username", "sentinel_password_file":
			q.fail(name, "needs redis+sentinel:// or rediss+sentinel://")
		case "password", "sentinel_password":
			q.fail(name, "is not accepted as a parameter: use "+name+"_file")
		default:
			if !parameterName.MatchString(name) {
				name = "one"
			}
			q.fail("parameters", name+" is unknown; there are "+parameters)
		}
	}
	return q.err
}

func invalidURL(part, problem string) error {
	return invalidConfig("URL: "+part, problem)
}
