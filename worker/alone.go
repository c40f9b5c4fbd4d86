package worker

import (
	"fmt"
	"net"
	"strings"
)

// aloneAddress is where a program that was started by hand listens: --bind ADDRESS, else all interfaces on $PORT, else the
// default of the cluster.
func aloneAddress(args []string, getenv func(string) string) string {
	for i, arg := range args {
		arg = strings.TrimPrefix(arg, "-")
		if value, ok := strings.CutPrefix(arg, "-bind="); ok {
			return value
		}
		if arg == "-bind" && i+1 < len(args) {
			return args[i+1]
		}
		if arg == "-" { // "--": what follows is not for us
			break
		}
	}
	if port := getenv("PORT"); port != "" {
		return "tcp://:" + port
	}
	return "tcp://127.0.0.1:9292"
}

func listenAlone(address string) (net.Listener, error) {
	scheme, host, found := strings.Cut(address, "://")
	if !found {
		scheme, host = "tcp", address
	}
	if scheme != "tcp" {
		return nil, fmt.Errorf("cannot bind %s: a worker alone listens on tcp://host:port only; under cluster start every kind of bind works", address)
	}
	if host == "" { // which net.Listen takes for any port of all interfaces
		return nil, fmt.Errorf("cannot bind %q: it is empty; write tcp://host:port", address)
	}
	l, err := net.Listen("tcp", host)
	if err != nil {
		return nil, fmt.Errorf("cannot bind %s: %w", address, err)
	}
	return l, nil
}
