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
	Scheme  string // tcp
	Address string // host:port
}

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
