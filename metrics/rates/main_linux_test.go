package rates

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/demo"
)

// TestMain lets the test binary be a worker.
func TestMain(m *testing.M) {
	if _, seat := os.LookupEnv("CLUSTER_SEAT"); !seat {
		os.Exit(m.Run())
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// leaf is what the collector has to walk over.
type leaf struct{ left, right *leaf }

func tree(depth int) *leaf {
	if depth == 0 {
		return &leaf{}
	}
	return &leaf{tree(depth - 1), tree(depth - 1)}
}

// serve is the reference application, and /garbage, which allocates beside a large live heap.
func serve() error {
	app, err := demo.Handler()
	if err != nil {
		return err
	}
	var once sync.Once
	var live *leaf
	mux := http.NewServeMux()
	mux.Handle("/", app)
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() {
			live = tree(20)
			debug.SetGCPercent(2)
		})
		for range 1000 { // so that what a request waits for before its handler runs is little
			runtime.KeepAlive(tree(8))
		}
		fmt.Fprintln(w, live != nil)
	})
	return worker.Serve(mux)
}

// fleet is worker processes without a master, and the sampler that the master would have.
type fleet struct {
	*Sampler
	t         *testing.T
	board     *scoreboard.Board
	clock     scoreboard.Clock
	addresses []string
	mu        sync.Mutex
	alive     []Process
}

// setup is what a test asks of a fleet.
type setup struct {
	workers, threads, procs int
	together                bool // one process has the threads of all workers
}

// patient is how long a verdict is waited for on a machine that does other things too.
const patient = time.Minute

func newFleet(t *testing.T, c setup) *fleet {
	t.Helper()
	board, err := scoreboard.Create(c.workers, c.threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(board.FD()) })
	f := &fleet{t: t, board: board, clock: scoreboard.NewClock()}
	f.Sampler = NewSampler(board, f.clock, func() []Process {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Clone(f.alive)
	})
	f.interval, f.window = 250*time.Millisecond, time.Second
	if c.together {
		f.start(c, 0)
		return f
	}
	for slot := range c.workers {
		f.start(c, 2*slot)
	}
	return f
}

// start starts a worker and returns when it is ready. It has more of a busy machine than other tests, if that may be.
func (f *fleet) start(c setup, seat int) (pid int) {
	f.t.Helper()
	control, theirs, err := ipc.NewChannelPair()
	if err != nil {
		f.t.Fatal(err)
	}
	defer theirs.Close()
	listener, address := listen(f.t)
	defer listener.Close()
	h := ipc.Handover{
		Seat: seat, Generation: 1, Protocol: ipc.Spoken, Control: theirs, Scoreboard: ipc.Own(f.board.FD()), Binds: []*ipc.FD{listener},
		Config: ipc.WorkerConfig{Limits: ipc.Limits{Threads: c.threads, QueueDepth: 100, QueueTimeout: patient, DrainTimeout: time.Second}},
	}
	p := Process{Seats: []int{seat}}
	if c.together {
		h.Config.Workers, p.Seats = c.workers, nil
		for slot := range c.workers {
			p.Seats = append(p.Seats, 2*slot+seat%2)
		}
	}
	files, env, err := h.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), env...), "GOMAXPROCS="+strconv.Itoa(c.procs), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	for _, fd := range files {
		copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			f.t.Fatal(err)
		}
		file := os.NewFile(uintptr(copied), "handed over")
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	if err := startPreferred(cmd); err != nil {
		f.t.Fatal(err)
	}
	p.PID = cmd.Process.Pid
	f.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		control.Close()
	})
	go func() {
		for {
			if _, _, err := control.Receive(); err != nil {
				return
			}
		}
	}()
	f.mu.Lock()
	f.alive = append(f.alive, p)
	f.mu.Unlock()
	f.addresses = append(f.addresses, address)
	f.until("the worker is ready", func() bool { return f.board.Row(seat).State.Load() == scoreboard.StateReady })
	return p.PID
}

// startPreferred starts a process that the kernel prefers to others, and that has two CPUs however many there are: a new process has the
// priority and the CPUs of the thread that made it. Without the right to the first it is one like others.
func startPreferred(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and it ends with the goroutine
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -10)
		var all, two unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			done <- err
			return
		}
		for i := 0; two.Count() < min(2, all.Count()); i++ {
			if all.IsSet(i) {
				two.Set(i)
			}
		}
		if err := unix.SchedSetaffinity(0, &two); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

func listen(t *testing.T) (*ipc.FD, string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return ipc.Own(fd), "127.0.0.1:" + strconv.Itoa(name.(*unix.SockaddrInet4).Port)
}

// ask sends a load to each worker until the test ends.
func (f *fleet) ask(l load) {
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.clients}}
	for _, address := range f.addresses {
		for range l.clients {
			wg.Go(func() {
				for f.t.Context().Err() == nil {
					r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, "http://"+address+l.path, nil)
					if err != nil {
						panic(err)
					}
					if res, err := client.Do(r); err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
				}
			})
		}
	}
	f.t.Cleanup(func() { // the context ends before
		wg.Wait()
		client.CloseIdleConnections()
	})
}

// measure is Measure of now.
func (f *fleet) measure() Measured {
	f.Sampler.mu.Lock()
	f.take()
	f.Sampler.mu.Unlock()
	return f.Measure()
}

func (f *fleet) until(what string, holds func() bool) {
	f.t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(patient); !holds(); <-look.C {
		if time.Now().After(end) {
			f.t.Fatalf("still waiting until %s", what)
		}
	}
}
