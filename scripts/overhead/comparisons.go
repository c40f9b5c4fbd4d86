package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prefork/cluster/scripts/internal/servers"
)

// side is a server that is measured: a bare one, or a cluster.
type side struct {
	name  string
	bare  string // how a bare server serves; empty: a cluster
	tls   bool   // the cluster's bind speaks TLS
	args  []string
	log   string // file of the access log; empty: as args say
	stuck bool   // what the cluster prints is read by nobody
}

// comparison is a side, and others that are measured against it.
type comparison struct {
	about    string
	base     side
	against  []side
	path     string
	scheme   string
	workers  int
	generate generator
	clients  int // connections, if none are asked for
}

// comparisons need a lab for what its files are called.
func comparisons(lab *servers.Lab) map[string]comparison {
	own := func(how string) []string { return lab.Program(how) }
	plain := comparison{path: "/plaintext", scheme: "http", workers: 1, generate: wrk, clients: 64}
	all := map[string]comparison{}
	add := func(name, about string, c comparison, base side, against ...side) {
		c.about, c.base, c.against = about, base, against
		all[name] = c
	}

	add("nethttp", "a worker against bare net/http: as the same program, and as the application in the command", plain,
		side{name: "bare net/http", bare: servers.NetHTTP},
		side{name: "same program", args: own(servers.Worker)},
		side{name: "built-in"})
	add("fasthttp", "a worker on fasthttp against bare fasthttp: as the same program, and as the application in the command", plain,
		side{name: "bare fasthttp", bare: servers.FastHTTP},
		side{name: "same program", args: own(servers.FastWorker)},
		side{name: "built-in", args: []string{"--engine", "fasthttp"}})

	secure := plain
	secure.scheme = "https"
	add("tls1", "HTTP/1.1 on a tls bind against bare net/http with TLS", secure,
		side{name: "bare net/http", bare: servers.TLS},
		side{name: "tls bind", tls: true, args: own(servers.Worker)})
	secure.generate, secure.clients = h2load, 16
	add("tls2", "HTTP/2 on a tls bind against bare net/http with TLS; 8 streams a connection", secure,
		side{name: "bare net/http", bare: servers.TLS},
		side{name: "tls bind", tls: true, args: own(servers.Worker)})

	program := own(servers.Worker)
	logged := func(more ...string) []string { return append(append([]string{"--log-requests"}, more...), program...) }
	file := filepath.Join(lab.Dir, "requests.log")
	add("accesslog", "--log-requests to a file, to /dev/null, and to a pipe that nobody reads, against none", plain,
		side{name: "no log", args: program},
		side{name: "file", args: logged("--log-requests-file", file), log: file},
		side{name: os.DevNull, args: logged("--log-requests-file", os.DevNull)},
		side{name: "stuck pipe", args: logged(), stuck: true})

	add("queue", "--pool queue against lease", plain,
		side{name: "lease", args: program},
		side{name: "queue", args: append([]string{"--pool", "queue"}, program...)})

	two := plain
	two.workers = 2
	add("shared", "--dispatch shared against reuseport, with 2 workers", two,
		side{name: "reuseport", args: program},
		side{name: "shared", args: append([]string{"--dispatch", "shared"}, program...)})

	large := plain
	large.path = "/10k"
	add("buffers", "no buffers for bodies and responses against the default ones, on /10k", large,
		side{name: "default", args: program},
		side{name: "no buffers", args: append([]string{"--buffer-body", "0", "--buffer-response", "0"}, program...)})
	return all
}

// names lists the comparisons for people.
func names() string {
	all := comparisons(&servers.Lab{})
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.WriteString("\n" + name + ": " + all[name].about)
	}
	return b.String()
}
