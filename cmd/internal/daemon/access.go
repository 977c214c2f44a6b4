package daemon

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// access refuses requests that must not reach the API:
//
//	Host      a name that leads to this daemon by DNS only (rebinding)
//	Origin    a page of another site (CSRF)
//	tokens    a request without the right to read or to write
type access struct {
	next        http.Handler
	hosts       []string // names that are allowed beside addresses and localhost
	read, write *tokenFile
}

// bodyTimeout bounds how long a body may take.
const bodyTimeout = 30 * time.Second

func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
	if r.ContentLength != 0 { // also for a request that is refused: net/http reads its body
		// The error is that of a connection without deadlines, as in tests.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	switch {
	case !a.allowsHost(r.Host):
		refuse(w, http.StatusForbidden, "the Host header names a host that this daemon does not serve; allow it with --allow-host")
	case !sameOrigin(r):
		refuse(w, http.StatusForbidden, "requests from pages of other sites are refused")
	case r.URL.Path == readyPath:
		a.next.ServeHTTP(w, r)
	case !a.allowsToken(r):
		refuse(w, http.StatusForbidden, "Permission denied: a token with that right is needed")
	default:
		a.next.ServeHTTP(w, r)
	}
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // the client has gone
}

func (a *access) allowsHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return slices.Contains(a.hosts, name)
}

// sameOrigin reports whether a request comes from no page, or from one of this daemon.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// allowsToken reports whether the request has the right that it needs. Without token
// files everyone has. Only methods that change nothing need the right to read alone.
func (a *access) allowsToken(r *http.Request) bool {
	if a.write == nil {
		return true
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if reads && a.read == nil {
		return true
	}
	for _, token := range tokensOf(r) {
		if a.write.has(token) || reads && a.read.has(token) {
			return true
		}
	}
	return false
}

func tokensOf(r *http.Request) []string {
	tokens := []string{r.Header.Get("X-Consul-Token"), r.URL.Query().Get("token")}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		tokens = append(tokens, bearer)
	}
	return tokens
}
