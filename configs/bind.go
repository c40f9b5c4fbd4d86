package configs

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Bind is one address that the cluster listens on.
type Bind struct {
	Scheme  string // tcp, tls, unix or fd
	Address string // HOST:PORT; a path, or @NAME in the abstract namespace; the name or number of a socket that was given at start
	Proxy   bool   // each connection begins with a PROXY protocol header

	// Of a unix bind.
	Mode  string // octal permissions of the socket file; empty: what the umask leaves
	Owner string // USER, USER:GROUP or :GROUP of the socket file; empty: the master's

	// Of a tls bind.
	Certificates []Certificate // the first one is for clients that name no other
	ClientCA     string        // path of the authorities that client certificates are checked against; empty: none are asked for
	ClientAuth   string        // require (default with a ClientCA) or request
	MinVersion   string        // 1.2 (default) or 1.3
}

// Certificate is a pair of PEM files.
type Certificate struct{ File, Key string }

func (b Bind) String() string { return b.Scheme + "://" + b.Address }

func (b Bind) anyPort() bool { return strings.HasSuffix(b.Address, ":0") }

// ParseBind reads tcp://host:port, or host:port for short. An empty host is all interfaces, port 0 any free port. What can
// be written in several ways is brought into one.
func ParseBind(text string) (Bind, error) {
	bad := func(why string) (Bind, error) {
		return Bind{}, fmt.Errorf("--bind %q: %s; write tcp://HOST:PORT, for example tcp://127.0.0.1:9292 or tcp://[::]:9292", text, why)
	}
	scheme, address, found := strings.Cut(text, "://")
	if !found {
		scheme, address = "tcp", text
	}
	if scheme != "tcp" {
		return bad(fmt.Sprintf("unknown scheme %q", scheme))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Count(address, ":") > 1 {
			return bad("an IPv6 address is written in brackets and followed by a port")
		}
		return bad("it has no port")
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 || strings.HasPrefix(port, "+") {
		return bad(fmt.Sprintf("%q is no port between 0 and 65535", port))
	}
	if host != "" && host != "localhost" {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return bad(fmt.Sprintf("%q is no IP address", host))
		}
		host = ip.String()
	}
	return Bind{Scheme: scheme, Address: net.JoinHostPort(host, strconv.Itoa(n))}, nil
}
