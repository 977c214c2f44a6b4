package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/cmd/internal/daemon"
)

const serveHelp = `Serve the registry to programs in any language, by the part of Consul's HTTP API that
is about services. The default backend is this program's memory; several daemons share
one on Redis. It listens on loopback only, unless it has tokens and TLS.

Each flag can also be set by a variable, such as ROLLCALL_CHECK_ALLOW for --check-allow,
or by the file of --config: {"check-allow": ["10.0.0.0/8"]}. A flag overrides its
variable, and a variable the file.

GET /v1/ready answers 200 once the daemon serves. SIGTERM ends it: it accepts no more
connections, answers blocked queries, deregisters what was registered through it, and
closes the backend.`

// serveOptions are the flags of serve that are not the daemon's own.
type serveOptions struct {
	config      daemon.Config
	logLevel    string
	logFormat   string
	printConfig bool
}

// serveCommand runs the daemon until a signal.
func serveCommand(std streams) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:     "serve",
		GroupID: groupServe,
		Short:   "Serve the registry to programs in any language, by Consul's HTTP API",
		Long:    serveHelp,
		Example: "  rollcall serve\n  rollcall serve --backend redis://localhost:6379 --node web-7",
		Args:    arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := applyDefaults(c.Flags()); err != nil {
				return usageError{err}
			}
			if o.printConfig {
				return printEffective(c.Flags(), std.out)
			}
			return serve(c.Context(), o, std)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags, d := c.Flags(), &o.config
	flags.StringVar(&d.Backend, "backend", "local:", "`URL` of the backend: local:, or any that the library opens")
	flags.StringVar(&d.HTTP, "http", "127.0.0.1:8500", "`address` of Consul's HTTP API")
	flags.StringVar(&d.Node, "node", "", "`name` of this node (default: the host's name)")
	flags.StringVar(&d.NodeID, "node-id", "", "`UUID` of this node (default: made from the name)")
	flags.StringSliceVar(&d.NodeMeta, "node-meta", nil, "`KEY=VALUE` of this node; may be repeated")
	flags.StringVar(&d.Datacenter, "datacenter", "dc1", "`name` of the datacenter")
	flags.StringVar(&d.Advertise, "advertise", "", "`address` at which others reach this node (default: that of the listener, or this host's)")
	flags.StringVar(&d.ReadTokens, "read-tokens", "", "`file` with a token a line that may read; read again when it changes")
	flags.StringVar(&d.WriteTokens, "write-tokens", "", "`file` with a token a line that may read and write")
	flags.StringVar(&d.TLSCert, "tls-cert", "", "`file` with the listener's certificate; read again when it changes")
	flags.StringVar(&d.TLSKey, "tls-key", "", "`file` with its key")
	flags.StringVar(&d.TLSClientCA, "tls-client-ca", "", "`file` with the authority of clients' certificates, which they then need")
	flags.BoolVar(&d.Insecure, "insecure", false, "listen off loopback without tokens and TLS")
	flags.StringSliceVar(&d.AllowHosts, "allow-host", nil, "`name` that may stand in the Host header; may be repeated")
	flags.StringSliceVar(&d.CheckAllow, "check-allow", nil, "`CIDR` that health checks may reach in addition to loopback; may be repeated")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&o.logFormat, "log-format", "text", "text or json")
	flags.BoolVar(&o.printConfig, "print-config", false, "print the configuration in effect, without secrets, and exit")
	flags.String("config", "", "JSON `file` with the names of flags and their values")
	return c
}

func serve(ctx context.Context, o serveOptions, std streams) error {
	logger, err := newLogger(o.logLevel, o.logFormat, std)
	if err != nil {
		return usageError{err}
	}
	slog.SetDefault(logger) // the library logs there
	o.config.Logger = logger
	o.config.Version = programVersion().Version
	err = daemon.Run(ctx, o.config, std.out)
	var config *daemon.ConfigError
	if errors.As(err, &config) {
		return usageError{err}
	}
	return err
}

func newLogger(level, format string, std streams) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log-level: %q is none of debug, info, warn and error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(std.err, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(std.err, options)), nil
	}
	return nil, fmt.Errorf("log-format: %q is neither text nor json", format)
}
