package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// CredentialsFunc returns what authenticates a new connection. Both are empty for
// Redis's default user without a password.
type CredentialsFunc = func(ctx context.Context) (username, password string, err error)

// credentials returns ask in the form that go-redis calls for each new connection.
// It ends after the dialer's timeout at the latest, if ask obeys its context.
func (d *dialer) credentials(ask CredentialsFunc) CredentialsFunc {
	if ask == nil {
		return nil
	}
	return func(ctx context.Context) (username, password string, err error) {
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		defer context.AfterFunc(d.ctx, cancel)()
		username, password, err = ask(ctx)
		switch {
		case err != nil:
			// Not wrapped: go-redis would take an error of another Redis for a reply of
			// this one, and the end of ctx for that of the call.
			return "", "", fmt.Errorf("credentials for a new connection: %v", err)
		case username != "" && password == "":
			return "", "", errNoPassword
		}
		return username, password, nil
	}
}

// errNoPassword: go-redis would continue as Redis's default user.
var errNoPassword = errors.New("credentials for a new connection: a username without a password (any will do for a user with nopass)")

// tlsConfig returns the configuration of a new connection to addr; nil without TLS.
func (d *dialer) tlsConfig(addr string) (*tls.Config, error) {
	if d.tls == nil {
		return nil, nil
	}
	config := d.tls.Clone()
	if d.refreshTLS != nil {
		if err := d.refreshTLS(config); err != nil {
			return nil, err
		}
	}
	if config.ServerName == "" && !config.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		config.ServerName = host
	}
	return config, nil
}
