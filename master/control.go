package master

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/sockets"
)

// route is one line of the control API: HTTP and JSON over the control socket.
type route struct {
	pattern string
	handle  func(m *Master, w http.ResponseWriter, r *http.Request)
}

var routes = []route{
	{"GET /v1/status", (*Master).serveStatus},
	{"GET /v1/version", (*Master).serveVersion},
	{"GET /v1/stacks", (*Master).serveStacks},
	{"POST /v1/restart", (*Master).serveRestart},
	{"POST /v1/scale", (*Master).serveScale},
	{"POST /v1/stop", (*Master).serveStop},
	{"POST /v1/reopen-logs", (*Master).serveReopen},
	{"POST /v1/reload", (*Master).serveReload},
}

func (m *Master) controlHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { r.handle(m, w, q) })
	}
	return mux
}

// maxSocketPath is the room in sockaddr_un.sun_path, less the terminating zero (unix(7)).
const maxSocketPath = 107

// listenControl opens the control socket. A stale one, that nobody listens on, is taken over; a living one is not.
func listenControl(path string) (net.Listener, *sockets.Lock, error) {
	if len(path) > maxSocketPath {
		return nil, nil, fmt.Errorf("control socket %s: the path has %d bytes, a unix socket allows %d: give a shorter one with --control", path, len(path), maxSocketPath)
	}
	lock, err := sockets.TakeLock(ControlLock(path), fmt.Sprintf("pid %d", os.Getpid()))
	var held *sockets.HeldError
	if errors.As(err, &held) {
		return nil, nil, fmt.Errorf("control socket %s: %w: a cluster runs there already (%s; `cluster status --control %s` shows it); give this one another --name", path, sockets.ErrTaken, held.Holder, path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l, err := listenUnix(path)
	if err != nil {
		lock.Release()
		return nil, nil, err
	}
	return l, lock, nil
}

// listenUnix is called by the one who has the lock.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("control socket %s: %w: another program listens there; give another --control", path, sockets.ErrTaken)
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("control socket %s: a file that is no socket is in the way; move it or give another --control", path)
		}
		_ = os.Remove(path)
	}
	old := syscall.Umask(0o177) // the socket is born 0600
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return l, nil
}

// ControlLock is the lock of a control socket: the master has it from before its first bind until it ends.
func ControlLock(path string) string { return path + ".lock" }

// privateDir makes a directory that only this user can enter, or checks that it is one: else another user could have put
// a socket there for us to talk to.
func privateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	st, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	if !st.IsDir() || int(owner) != os.Getuid() || st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("runtime directory %s is not a directory of mode 0700 that belongs to this user (uid %d): remove it, or set XDG_RUNTIME_DIR to another place", path, os.Getuid())
	}
	return nil
}

// RuntimeDir is where control sockets and locks are unless a path is given.
func RuntimeDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "cluster")
	}
	return fmt.Sprintf("/tmp/cluster-%d", os.Getuid())
}

// ControlPath is the control socket of a cluster by name.
func ControlPath(name string) string { return filepath.Join(RuntimeDir(), name+".sock") }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, api.Failure{Error: err.Error()})
}

// ask hands a request to the loop and waits for its reply.
func ask[T any](m *Master, ctx context.Context, ev event, reply chan T) (T, error) {
	var zero T
	select {
	case m.loop.events <- ev:
	case <-m.done:
		return zero, errors.New("the cluster has stopped")
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	select {
	case v := <-reply:
		return v, nil
	case <-m.done:
		return zero, errors.New("the cluster has stopped")
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

func (m *Master) serveStatus(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, m.status())
}

func (m *Master) serveVersion(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"version": m.version})
}

func (m *Master) serveStacks(w http.ResponseWriter, r *http.Request) {
	reply := make(chan []api.StackDump, 1)
	dumps, err := ask(m, r.Context(), stacksRequest{reply: reply}, reply)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, http.StatusOK, dumps)
}

func (m *Master) serveScale(w http.ResponseWriter, r *http.Request) {
	var body api.ScaleRequest
	if err := read(r, &body); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply := make(chan scaleReply, 1)
	got, err := ask(m, r.Context(), scaleRequest{to: body.To, by: body.By, reply: reply}, reply)
	if err == nil {
		err = got.err
	}
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, http.StatusOK, api.ScaleAnswer{Workers: got.workers})
}

// serveReload answers when the configuration was read; workers that are to be replaced are not waited for.
func (m *Master) serveReload(w http.ResponseWriter, r *http.Request) {
	reply := make(chan *api.Reload, 1)
	got, err := ask(m, r.Context(), reloadRequest{reply: reply}, reply)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, http.StatusOK, got)
}

func (m *Master) serveStop(w http.ResponseWriter, r *http.Request) {
	var body api.StopRequest
	if err := read(r, &body); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply := make(chan api.Stopping, 1)
	got, err := ask(m, r.Context(), stopRequest{now: body.Now, reply: reply}, reply)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	answer(w, http.StatusAccepted, got)
}

func (m *Master) serveReopen(w http.ResponseWriter, r *http.Request) {
	reply := make(chan error, 1)
	err, gone := ask(m, r.Context(), reopenRequest{reply: reply}, reply)
	if err = errors.Join(err, gone); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func (m *Master) serveRestart(w http.ResponseWriter, r *http.Request) {
	var body api.RestartRequest
	if err := read(r, &body); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if body.Wait != "" && body.Wait != "ready" && body.Wait != "drained" {
		refuse(w, http.StatusBadRequest, fmt.Errorf("wait %q: give ready or drained", body.Wait))
		return
	}
	reply := make(chan restartReply, 1)
	got, err := ask(m, r.Context(), restartRequest{reply: reply}, reply)
	if err == nil {
		err = got.err
	}
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	m.follow(r.Context(), w, got.generation, body.Wait)
}

// follow writes how a restart goes until it is over; a superseded one goes on as its successor.
func (m *Master) follow(ctx context.Context, w http.ResponseWriter, generation int, wait string) {
	lines := json.NewEncoder(w)
	var last api.RestartProgress
	for {
		snap := m.loop.snapshot.Load()
		ro := snap.rollout(generation)
		for ro != nil && ro.Outcome == plan.Superseded {
			generation = ro.By
			ro = snap.rollout(generation)
		}
		if ro == nil {
			// The loop has not published it yet, or so many restarts have followed that it is forgotten: then the newest counts.
			if n := len(snap.Rollouts); n > 0 && snap.Rollouts[0].Generation > generation {
				generation = snap.Rollouts[n-1].Generation
				continue
			}
		} else {
			p := api.RestartProgress{Rollout: *ro, Workers: snap.Wanted}
			over := ro.Outcome == plan.Done || ro.Outcome == plan.Aborted || ro.Outcome == plan.Cancelled
			p.Final = wait == "" || over && (wait == "ready" || ro.Drained || ro.Outcome == plan.Cancelled)
			if p != last {
				last = p
				if lines.Encode(p) != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			}
			if p.Final {
				return
			}
		}
		select {
		case <-snap.Changed:
		case <-m.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

func read(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 64<<10))
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("request body: %w", err)
	}
	return nil
}

func newControlServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second}
}
