package redistest

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Option changes how a server is started.
type Option func(*options)

type options struct {
	conf       []string // lines of redis.conf
	args       []string // of the command line; they outrank redis.conf
	acl        string
	password   string
	appendOnly bool
	tls        bool
	ca         *CA // the issuer of its certificate, and whose client certificates it accepts
	fakeTime   bool
	shardProxy bool

	clientCertificates bool     // the server demands them
	sentinel           []string // lines that make the server a Sentinel
}

// WithAppendOnly keeps the data set in an append-only file, synced before each
// answer: Restart brings back everything that was acknowledged.
func WithAppendOnly() Option { return func(o *options) { o.appendOnly = true } }

// WithMaxMemory limits memory to bytes and says what to do at the limit, such
// as "noeviction" or "volatile-ttl".
func WithMaxMemory(bytes int64, policy string) Option {
	return func(o *options) {
		o.conf = append(o.conf, fmt.Sprintf("maxmemory %d", bytes), "maxmemory-policy "+policy)
	}
}

// WithACLFile starts the server with an ACL file of that content, one "user …"
// line per user. A default user that it does not name keeps all rights without a password.
func WithACLFile(content string) Option { return func(o *options) { o.acl = content } }

// WithPassword sets the default user's password.
func WithPassword(password string) Option { return func(o *options) { o.password = password } }

// WithArgs appends arguments to the server's command line, such as "--databases", "1".
func WithArgs(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

// WithTLS makes the server speak TLS only, with a certificate of a CA made for
// it. Clients connect with the server's ClientTLS.
func WithTLS() Option { return func(o *options) { o.tls = true } }

// WithClientCertificates is WithTLS and makes the server demand a certificate of the
// client, which ClientTLS has.
func WithClientCertificates() Option {
	return func(o *options) { o.tls, o.clientCertificates = true, true }
}

// WithFakeTime runs the server with a clock of its own, so that StepClock can step its
// wall clock. Its monotonic clock, and with it timeouts of blocked clients, runs on truly.
func WithFakeTime() Option { return func(o *options) { o.fakeTime = true } }

// WithShardProxy puts a proxy in front of the server that Addr and URL lead to: it refuses
// what a service refuses that shards its data behind one address. Client leads to the server.
func WithShardProxy() Option { return func(o *options) { o.shardProxy = true } }

func withConf(lines ...string) Option {
	return func(o *options) { o.conf = append(o.conf, lines...) }
}

func withSentinel(lines ...string) Option {
	return func(o *options) { o.sentinel = append(o.sentinel, lines...) }
}

// lines returns the configuration file of a server in dir on port.
func (o *options) lines(dir string, port int) []string {
	plain, tls := port, 0
	if o.tls {
		plain, tls = 0, port
	}
	lines := []string{
		"bind 127.0.0.1",
		fmt.Sprintf("port %d", plain),
		fmt.Sprintf("dir %q", dir),
		fmt.Sprintf("logfile %q", filepath.Join(dir, logFile)),
		"loglevel notice",
		"daemonize no",
		// Keeps the directory visible in the process list, by which strays are found.
		"set-proc-title no",
	}
	if tls != 0 {
		demanded := "no"
		if o.clientCertificates {
			demanded = "yes"
		}
		lines = append(lines,
			fmt.Sprintf("tls-port %d", tls),
			fmt.Sprintf("tls-cert-file %q", filepath.Join(dir, certFile)),
			fmt.Sprintf("tls-key-file %q", filepath.Join(dir, keyFile)),
			fmt.Sprintf("tls-ca-cert-file %q", filepath.Join(dir, caFile)),
			"tls-auth-clients "+demanded,
			"tls-replication yes")
	}
	if o.sentinel != nil {
		return append(append(lines, o.sentinel...), o.conf...)
	}
	lines = append(lines,
		`save ""`,
		"databases 16",
		// A replica of a test need not wait for others to join its first sync.
		"repl-diskless-sync-delay 0",
	)
	if o.password != "" {
		lines = append(lines, fmt.Sprintf("requirepass %q", o.password), fmt.Sprintf("masterauth %q", o.password))
	}
	if o.appendOnly {
		lines = append(lines, "appendonly yes", "appendfsync always")
	}
	if o.acl != "" {
		lines = append(lines, fmt.Sprintf("aclfile %q", filepath.Join(dir, aclFile)))
	}
	return append(lines, o.conf...)
}

func (o options) clone() options {
	o.conf = slices.Clone(o.conf)
	o.args = slices.Clone(o.args)
	return o
}
