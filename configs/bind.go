package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
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

// String writes the bind as ParseBind reads it, without what is a default.
func (b Bind) String() string {
	text, mark := b.Plain(), "?"
	for _, pair := range b.query() {
		text += mark + pair.key + "=" + escape(pair.value)
		mark = "&"
	}
	return text
}

// Plain is the address without its settings, as logs, errors, status and metrics name the bind.
func (b Bind) Plain() string { return b.Scheme + "://" + b.Address }

func (b Bind) isTCP() bool { return b.Scheme == "tcp" || b.Scheme == "tls" }

func (b Bind) anyPort() bool { return b.isTCP() && strings.HasSuffix(b.Address, ":0") }

// conflicts reports whether the kernel would refuse the second of two binds, as far as their spelling tells.
func (b Bind) conflicts(other Bind) bool {
	if b.anyPort() || b.isTCP() != other.isTCP() || !b.isTCP() && b.Scheme != other.Scheme {
		return false
	}
	everywhere := func(b Bind) string {
		if port, ok := strings.CutPrefix(b.Address, "[::]"); ok && b.isTCP() {
			return port
		}
		return b.Address
	}
	return everywhere(b) == everywhere(other)
}

// bindForms are the schemes, and how a bind of each is written.
var bindForms = []struct {
	scheme, form, example string
	address               func(text string) (string, error)
}{
	{"tcp", "tcp://HOST:PORT", "tcp://127.0.0.1:9292 or tcp://[::]:9292", hostPort},
	{"tls", "tls://HOST:PORT?cert=PATH&key=PATH", "tls://[::]:443?cert=/etc/ssl/site.pem&key=/etc/ssl/site.key", hostPort},
	{"unix", "unix:///PATH or unix://@NAME", "unix:///run/app.sock?mode=0660", socketPath},
	{"fd", "fd://NAME or fd://NUMBER", "fd://web", givenName},
}

// ParseBind reads tcp://host:port, or host:port for short, tls://host:port, unix:///path, unix://@name and fd://name, each
// with its settings after a question mark (bindKeys). An empty host and [::] are all
// interfaces of both families, 0.0.0.0 those of IPv4, port 0 any free port. What can be written in several ways is brought
// into one.
func ParseBind(text string) (Bind, error) {
	fail := func(why any, form, example string) (Bind, error) {
		return Bind{}, fmt.Errorf("--bind %q: %v; write %s, for example %s", text, why, form, example)
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "tcp", text
		if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "@") || strings.HasPrefix(text, "unix:") {
			scheme, rest = "unix", ""
		}
	}
	for _, f := range bindForms {
		if f.scheme != scheme {
			continue
		}
		address, query, asked := strings.Cut(rest, "?")
		b := Bind{Scheme: scheme}
		var err error
		if b.Address, err = f.address(address); err == nil {
			err = b.readQuery(query, asked)
		}
		if err != nil {
			return fail(err, f.form, f.example)
		}
		return b, nil
	}
	forms := make([]string, 0, len(bindForms))
	for _, f := range bindForms {
		forms = append(forms, f.form)
	}
	return fail(fmt.Sprintf("unknown scheme %q", scheme), strings.Join(forms, ", "), bindForms[0].example)
}

func hostPort(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Count(address, ":") > 1 {
			return "", errors.New("an IPv6 address is written in brackets and followed by a port")
		}
		return "", errors.New("it has no port")
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 || strings.HasPrefix(port, "+") {
		return "", fmt.Errorf("%q is no port between 0 and 65535", port)
	}
	if host != "" && host != "localhost" {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return "", fmt.Errorf("%q is no IP address", host)
		}
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(n)), nil
}

// maxSocketPath is what sockaddr_un has room for, beside the NUL that ends a path or begins an abstract name (unix(7)).
const maxSocketPath = 107

func socketPath(address string) (string, error) {
	what, length := "path", len(address)
	switch {
	case address == "":
		return "", errors.New("it has no path")
	case strings.ContainsRune(address, 0):
		return "", errors.New("a NUL byte ends the path")
	case address == "@":
		return "", errors.New("the abstract socket has no name")
	case address[0] == '@':
		what, length = "name", length-1
	case address[0] != '/':
		return "", fmt.Errorf("the path %q is relative, and a path begins with a slash of its own", address)
	case strings.HasSuffix(address, "/"):
		return "", fmt.Errorf("%q names a folder", address)
	default:
		address = path.Clean(address)
		length = len(address)
	}
	if length > maxSocketPath {
		return "", fmt.Errorf("the %s is %d bytes long, and a unix socket's may have %d", what, length, maxSocketPath)
	}
	return address, nil
}

func givenName(address string) (string, error) {
	n, err := strconv.Atoi(address)
	switch {
	case address == "":
		return "", errors.New("it names no socket")
	case err == nil && (n < firstGiven || strconv.Itoa(n) != address):
		return "", fmt.Errorf("%q is no descriptor that is handed over: they are counted from %d", address, firstGiven)
	case strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r > '~' || r == ':' }):
		return "", fmt.Errorf("%q is no name of a socket: those have printable ASCII characters but the colon", address)
	}
	return address, nil
}

// firstGiven is the first descriptor that is handed over at start (sd_listen_fds(3)).
const firstGiven = 3
