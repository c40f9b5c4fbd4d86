package control

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
)

// Cluster is what the API shows and changes. Methods with a context give up with it; their error is for a person, and is
// ErrEnded when there is nobody left to ask.
type Cluster interface {
	// Status never waits for a worker.
	Status() api.Status
	// Stacks are those of the master and all workers; one that does not answer has an error for them.
	Stacks(ctx context.Context) ([]api.StackDump, error)
	// Profile takes one of a worker, for so long; only kind cpu takes time. The bytes are what `go tool pprof` reads.
	Profile(ctx context.Context, slot int, kind string, length time.Duration) ([]byte, error)
	// Restart begins a rolling restart and returns the number of its generation.
	Restart(ctx context.Context) (generation int, err error)
	// Renew begins to replace the worker of one slot and returns the number of that.
	Renew(ctx context.Context, slot int) (number int, err error)
	// Renewing yields how the replacement of one worker goes, until it is over as wait says.
	Renewing(ctx context.Context, number int, wait string) iter.Seq[api.RenewalProgress]
	// Progress yields how the restart that made a generation goes, one that took it over included, until it is over as wait
	// says, the context ends or the cluster does.
	Progress(ctx context.Context, generation int, wait string) iter.Seq[api.RestartProgress]
	// Scale sets the number of workers, or changes it if to is 0.
	Scale(ctx context.Context, to, by int) (workers int, err error)
	// SetThreads sets how many threads each worker has.
	SetThreads(ctx context.Context, threads int) error
	// SetLogLevel sets the least that is logged, and returns what it was.
	SetLogLevel(ctx context.Context, level slog.Level) (before slog.Level, err error)
	// Reload reads the configuration anew; workers that are to be replaced are not waited for.
	Reload(ctx context.Context) (*api.Reload, error)
	// Stop begins the end of the cluster; now: without draining.
	Stop(ctx context.Context, now bool) (api.Stopping, error)
	// ReopenLogs opens the log files anew.
	ReopenLogs(ctx context.Context) error
}

// Journal has the last events of the cluster.
type Journal interface {
	// Since are the events after the one with an ID that are still kept.
	Since(id uint64) []journal.Event
	// Follow yields those, and then each new one, until the context ends.
	Follow(ctx context.Context, since uint64) iter.Seq[journal.Event]
}

// ErrEnded is the error of a Cluster that has ended, or does so.
var ErrEnded = errors.New("the cluster has stopped")

// Limits of one door. Those of the control socket and of the metrics address are apart: pages cannot keep operators out.
const (
	maxConnections = 256              // on the control socket; others wait
	maxLasting     = 100              // requests at a time that last
	readPatience   = 5 * time.Second  // for a head, for a body, and for the next request of a connection
	writePatience  = 10 * time.Second // how long a client may read nothing of what is written
	maxBody        = 64 << 10         // bytes of a request body
)

// API serves a Cluster. Its methods may be called by any goroutine.
type API struct {
	cluster Cluster
	journal Journal // nil: there are no events
	log     *slog.Logger
	done    <-chan struct{} // closed when the cluster has ended: nothing is followed any longer
	live    live
	owner   uint32 // user that may change the cluster, besides root

	readPatience, writePatience time.Duration
}

// New makes the API of a cluster. events may be nil: then there are none. done is closed when the cluster has ended.
func New(cluster Cluster, events Journal, log *slog.Logger, done <-chan struct{}) *API {
	a := &API{cluster: cluster, journal: events, log: log, done: done, owner: uint32(os.Geteuid()), readPatience: readPatience, writePatience: writePatience}
	a.live.status = cluster.Status
	return a
}

// Server is the API on the control socket. Its listener is to be served by Serve.
type Server struct {
	http *http.Server
	door *door
}

// Server makes the server of the control socket.
func (a *API) Server() *Server {
	d := newDoor(a, false)
	return &Server{door: d, http: &http.Server{
		Handler: a.onlyOwner(d), ReadHeaderTimeout: a.readPatience, IdleTimeout: a.readPatience, ConnState: stateOf, ConnContext: withPeer,
		MaxHeaderBytes: maxBody, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelError),
	}}
}

// Serve serves until Close.
func (s *Server) Serve(l net.Listener) { _ = s.http.Serve(newGate(l, maxConnections)) }

// Close lets requests be answered that are under way (restart --wait, stop), for at most a second, and closes the listener.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}
