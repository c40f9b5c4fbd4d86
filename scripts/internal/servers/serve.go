// Package servers starts what the measuring scripts compare: a cluster, and the same handlers on bare servers. Both are
// processes of their own, started fresh, and the program of both is that of the script itself: what a larger binary costs
// is then the same on both sides.
//
// A script calls Serve first of all, so that its program can be each of them.
package servers

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"

	"github.com/libp2p/go-reuseport"
	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/demo"
	"github.com/prefork/cluster/worker/demo/fastdemo"
	"github.com/prefork/cluster/worker/fasthttpworker"
)

// What the program of a script can serve the reference application with.
const (
	NetHTTP    = "nethttp"         // what anybody would write without cluster
	TLS        = "tls"             // the same with TLS, where clients may choose HTTP/2
	FastHTTP   = "fasthttp"        // what anybody would write on fasthttp
	Worker     = "worker"          // a program for cluster start
	FastWorker = "fasthttp-worker" // the same on fasthttp
)

const (
	verb = "serve-for-measuring"
	// envCollected names a folder: when a process has collected its garbage for Collect, it removes the file of its pid there.
	envCollected = "MEASURE_COLLECTED"
)

// listening is what a bare server prints when it can be connected to.
const listening = "listening"

// Serve returns if this process is the script. If it is a server that the script has started, it serves and ends.
func Serve() {
	if len(os.Args) < 3 || os.Args[1] != verb {
		return
	}
	go collectWhenAsked(os.Getenv(envCollected))
	if err := serve(os.Args[2], os.Args[3:]); err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}

// serve serves in one of the ways above. The arguments of the bare ones are an address and the files of certificate and key.
func serve(how string, args []string) error {
	handler, err := demo.Handler()
	if err != nil {
		return err
	}
	fast, err := fastdemo.Server()
	if err != nil {
		return err
	}
	// wrk begins each run with a connection that it closes at once: under TLS a failed handshake, and no news.
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	switch how {
	case Worker:
		return worker.ServeServer(server)
	case FastWorker:
		return fasthttpworker.ServeServer(fast)
	}
	if len(args) != 3 {
		return fmt.Errorf("%s is given %d arguments instead of address, certificate and key", how, len(args))
	}
	config := net.ListenConfig{Control: reuseport.Control}
	config.SetMultipathTCP(false) // as the master's
	l, err := config.Listen(context.Background(), "tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println(listening)
	switch how {
	case NetHTTP:
		return server.Serve(l)
	case TLS:
		return server.ServeTLS(l, args[1], args[2])
	case FastHTTP:
		return fast.Serve(l)
	}
	return fmt.Errorf("there is no way to serve called %q", how)
}

// collectWhenAsked collects garbage, and gives back what is free, at each SIGUSR1.
func collectWhenAsked(dir string) {
	if dir == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1)
	for range asked {
		debug.FreeOSMemory()
		_ = os.Remove(dir + "/" + strconv.Itoa(os.Getpid()))
	}
}
