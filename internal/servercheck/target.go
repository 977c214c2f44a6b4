package servercheck

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/bridge"
	"github.com/rollcall-sd/rollcall/internal/redisstore"
	"github.com/rollcall-sd/rollcall/registry"
)

// Target is what is checked.
type Target struct {
	Client redis.UniversalClient
	// Prefix begins all keys and channels of the checks. It must be that of a
	// namespace ("rollcall:default:"): the user may have no right to others.
	Prefix string
	// User is the name for which rights are to be granted; "" is Redis's default user.
	User string
	// DB is the number of the database.
	DB int
	// Certificates returns those that connections used so far; nil without TLS.
	Certificates func() []*x509.Certificate
}

// CheckURL checks the server of a registry's URL. The error matches
// registry.ErrInvalidConfig, for a bad URL; all else is in the report.
func CheckURL(ctx context.Context, url string) (Report, error) {
	cfg, err := registry.ParseURL(url)
	if err != nil {
		return Report{}, err
	}
	target := Target{
		Prefix: redisstore.KeyPrefix(cmp.Or(cfg.Namespace, registry.DefaultNamespace)),
		User:   cfg.Username,
		DB:     cfg.DB,
	}
	if cfg.TLSConfig != nil {
		target.Certificates = collectCertificates(cfg.TLSConfig)
	}
	client, err := bridge.Dial(cfg)
	if err != nil {
		return Report{}, err
	}
	target.Client = client.(redis.UniversalClient)
	defer target.Client.Close()
	return Run(ctx, target), nil
}

// collectCertificates has config note the certificates of all connections. It returns
// those, and the client's.
func collectCertificates(config *tls.Config) func() []*x509.Certificate {
	var mu sync.Mutex
	var seen []*x509.Certificate
	for _, c := range config.Certificates {
		for _, der := range c.Certificate {
			if cert, err := x509.ParseCertificate(der); err == nil {
				seen = append(seen, cert)
			}
		}
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		for _, cert := range state.PeerCertificates {
			if !slices.ContainsFunc(seen, cert.Equal) {
				seen = append(seen, cert)
			}
		}
		return nil
	}
	return func() []*x509.Certificate {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}
