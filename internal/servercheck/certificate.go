package servercheck

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// renewCertificates is how long before its end a certificate is reported.
const renewCertificates = 30 * 24 * time.Hour

// checkCertificate says when the first certificate of a connection ends.
func (c *checker) checkCertificate(context.Context) Finding {
	if c.Certificates == nil {
		return Finding{Result: Passed, Detail: "no TLS"}
	}
	return certificate(c.Certificates(), time.Now())
}

func certificate(all []*x509.Certificate, now time.Time) Finding {
	if len(all) == 0 {
		return Finding{Result: Unknown, Detail: "no certificate was seen"}
	}
	first := all[0]
	for _, one := range all {
		if one.NotAfter.Before(first.NotAfter) {
			first = one
		}
	}
	left := first.NotAfter.Sub(now)
	name := first.Subject.CommonName
	if name == "" {
		name = strings.Join(first.DNSNames, ", ")
	}
	detail := fmt.Sprintf("%q ends on %s, in %d days", name, first.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24))
	if left >= renewCertificates {
		return Finding{Result: Passed, Detail: detail}
	}
	return Finding{Result: Limited, Detail: detail, Remedy: "renew it, as docs/operating.md describes under \"Changing passwords and certificates\"",
		Why: "from its end on no new connection can be made, and the leases end with the open ones"}
}
