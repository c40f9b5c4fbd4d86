package control

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Access says who may see what on the metrics address.
type Access struct {
	Page  bool   // the page and the read-only API are served
	Token string // that a request has to bring, but for /livez and /readyz; empty: none
}

// Public is the handler of the metrics address: metrics and health, and if the access says so the page and the read-only part
// of the API. It never changes anything.
type Public struct {
	api    *API
	door   *door
	rest   http.Handler // /metrics, /livez, /readyz
	page   http.Handler // /page and what is below; nil: there is none
	host   string       // that the operator has named in --metrics
	access atomic.Pointer[Access]
}

// NewPublic makes the handler. host is what the setting metrics names, a host or HOST:PORT; page may be nil.
func NewPublic(a *API, rest, page http.Handler, host string, access Access) *Public {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	p := &Public{api: a, door: newDoor(a, true), rest: rest, page: page, host: host}
	p.Allow(access)
	return p
}

// Allow puts another access in force, for requests from now on.
func (p *Public) Allow(access Access) { p.access.Store(&access) }

func (p *Public) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	access := *p.access.Load()
	path := r.URL.Path
	if path == "/livez" || path == "/readyz" { // a supervisor has no token
		p.rest.ServeHTTP(w, r)
		return
	}
	shown := p.page != nil && access.Page && (path == "/page" || strings.HasPrefix(path, "/page/"))
	// The page itself holds nothing of the cluster, and it is what asks a person for the token.
	if !shown && !bears(r, access.Token) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="cluster"`)
		p.api.refuse(w, &refusal{http.StatusUnauthorized, fmt.Errorf("a token is needed: Authorization: Bearer TOKEN, as in the file of --metrics-token-file")})
		return
	}
	if !access.Page || path == "/metrics" {
		p.rest.ServeHTTP(w, r)
		return
	}
	if !p.expects(r.Host) {
		p.api.refuse(w, &refusal{http.StatusForbidden, fmt.Errorf("host %.100q is refused, since any web page could make a browser ask under a name of its own: use an IP address, localhost, or the host named in --metrics", r.Host)})
		return
	}
	switch {
	case strings.HasPrefix(path, "/v1/"):
		p.door.ServeHTTP(w, r)
	case p.page != nil && path == "/":
		http.Redirect(w, r, "/page", http.StatusFound)
	case shown:
		w.Header().Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		p.page.ServeHTTP(w, r)
	default:
		p.rest.ServeHTTP(w, r)
	}
}

// expects says whether a browser that asks under this name was sent here by a person: a name that somebody else has given
// this address (DNS rebinding) is not one that we know.
func (p *Public) expects(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	return strings.EqualFold(host, "localhost") || p.host != "" && strings.EqualFold(host, p.host)
}

// Loopback says whether only this machine reaches an address, HOST:PORT.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
