package target

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/bench/proc"
)

// Variables that make this test binary something else than a run of the tests.
const (
	envRole = "TARGET_TEST_ROLE" // one of roles
	envAddr = "TARGET_TEST_ADDR" // where a server is to listen
	envFile = "TARGET_TEST_FILE" // where to put what the test is to know
)

// roles are what this binary is as a target, or as a part of one. They end when Stop has found them, and at the latest after some
// minutes: a test run that is killed stops nobody.
var roles map[string]func()

func init() { // not at the declaration: launch is one of them and starts others
	roles = map[string]func(){
		"serve":    func() { serve(listen()) },
		"loud":     func() { fmt.Println("on standard output"); serve(listen()) },
		"dies":     dies,
		"hangs":    func() { fmt.Fprintln(os.Stderr, "booting"); select {} },
		"stubborn": func() { signal.Ignore(syscall.SIGTERM); serve(listen()) },
		"family":   family,
		"child":    child,
		"orphans":  orphans,
		"keeper":   keeper,
		"launch":   launch,
	}
}

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		time.AfterFunc(10*time.Minute, func() { os.Exit(1) })
		roles[role]()
		os.Exit(0)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func listen() net.Listener {
	addr := os.Getenv(envAddr)
	for i, arg := range os.Args { // of `bare`
		if arg == "--addr" {
			addr = os.Args[i+1]
		}
	}
	return must(net.Listen("tcp", addr))
}

// serve answers until the end. /late is answered 200 from the third time on.
func serve(l net.Listener) {
	asked := 0
	var mu sync.Mutex
	http.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { dies() })
	http.HandleFunc("/never", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	panic(http.Serve(l, nil))
}

func dies() {
	for i := range 30 {
		fmt.Fprintf(os.Stderr, "line %d\n", i)
	}
	os.Exit(3)
}

// part starts this binary in another role.
func part(role string, attr *syscall.SysProcAttr, env []string, files ...*os.File) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, envRole+"="+role)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	return cmd
}

// family is a server with two children, which have burnt some CPU when it serves. /reap ends them.
func family() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	var children []*exec.Cmd
	for range 2 {
		children = append(children, part("child", &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, os.Environ(), w))
	}
	must(io.ReadFull(r, make([]byte, len(children))))
	http.HandleFunc("/reap", func(http.ResponseWriter, *http.Request) {
		for _, c := range children {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	serve(listen())
}

const burnt = 40 * time.Millisecond

// child takes CPU time and says so on descriptor 3.
func child() {
	for {
		if used := must(proc.Measure(os.Getpid())); used.CPU >= burnt {
			break
		}
	}
	must(os.NewFile(3, "parent").Write([]byte("x")))
	select {}
}

// orphans is a server whose listener is kept by a process that outlives it: one that a middle process has left behind, or a
// child. The environment says what alone gives it away.
func orphans() {
	l := listen().(*net.TCPListener)
	file := must(l.File())
	const bare = envFile + "="
	switch os.Getenv("TARGET_TEST_BY") {
	case "environment":
		leave(part("keeper", &syscall.SysProcAttr{Setsid: true}, append(os.Environ(), "TARGET_TEST_MIDDLE=1"), file))
	case "group":
		leave(part("keeper", nil, []string{bare + os.Getenv(envFile), "TARGET_TEST_MIDDLE=1"}, file))
	case "parent":
		part("keeper", &syscall.SysProcAttr{Setsid: true}, []string{bare + os.Getenv(envFile)}, file)
	}
	go func() {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
		os.Exit(0)
	}()
	serve(l)
}

func leave(middle *exec.Cmd) {
	if err := middle.Wait(); err != nil {
		panic(err)
	}
}

// keeper is the middle process, which starts itself again, waits until that one has written its pid, and ends; or the last one.
func keeper() {
	if os.Getenv("TARGET_TEST_MIDDLE") != "" {
		env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TARGET_TEST_MIDDLE=") })
		part("keeper", nil, env, os.NewFile(3, "listener"))
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if text, err := os.ReadFile(os.Getenv(envFile)); err == nil && len(text) > 0 {
				return
			}
			if time.Now().After(end) {
				panic("the last process did not say its pid")
			}
		}
	}
	signal.Ignore(syscall.SIGTERM)
	if err := os.WriteFile(os.Getenv(envFile), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		panic(err)
	}
	select {}
}

// launch is a benchmark of one target, whose pid it says; then it waits to be killed.
func launch() {
	l := &Launcher{Dir: os.Getenv(envFile), Peers: peers}
	r := must(l.Start(context.Background(), Spec{Kind: Peer, Peer: "serve"}))
	fmt.Println(r.cmd.Process.Pid)
	select {}
}

// peers are this binary in its roles; behind the role the path of readiness, if it is not /.
func peers(name string, p Params) (Command, error) {
	role, path, _ := strings.Cut(name, "/")
	if roles[role] == nil {
		return Command{}, fmt.Errorf("%s is not installed", name)
	}
	return Command{Argv: []string{os.Args[0]}, Env: []string{envRole + "=" + role, envAddr + "=" + p.Addr, "GORACE=atexit_sleep_ms=0"}, Ready: "/" + path}, nil
}

// launcher is one for tests: with a short folder, for sockets.
func launcher(t *testing.T) *Launcher {
	t.Helper()
	dir := must(os.MkdirTemp("/tmp", "tg"))
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the launcher's folder: %v, %v", left, err)
		}
		os.RemoveAll(dir)
	})
	return &Launcher{Self: os.Args[0], Dir: dir, Peers: peers}
}

// started starts a target that the test stops without an error, at its end at the latest.
func started(t *testing.T, l *Launcher, s Spec) *Running {
	t.Helper()
	r, err := l.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, r) })
	return r
}

// stopped stops a target and looks for what is left.
func stopped(t *testing.T, r *Running) {
	t.Helper()
	if err := r.Stop(context.Background()); err != nil {
		t.Errorf("stop: %v", err)
	}
	nothingLeft(t, r)
}

func nothingLeft(t *testing.T, r *Running) {
	t.Helper()
	for id := range r.seen {
		if living(t, id.pid) {
			t.Errorf("%s is left", title(id.pid))
		}
	}
	if err := free(r.Addr()); err != nil {
		t.Errorf("the address is not free: %v", err)
	}
}

func living(t *testing.T, pid int) bool {
	t.Helper()
	all, err := proc.Processes()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(p proc.Process) bool { return p.PID == pid })
}

// eventually waits for evidence.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(answerPoll) {
		if time.Now().After(end) {
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

// ask sends n requests and wants one answer to all.
func ask(t *testing.T, r *Running, path string, n, want int) {
	t.Helper()
	for range n {
		code, _, err := get(t.Context(), "http://"+r.Addr()+path)
		if err != nil || code != want {
			t.Fatalf("%s: %d, %v; want %d", path, code, err, want)
		}
	}
}

var buildDir string

// command builds the command cluster, once.
var command = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "target-test")
	if err != nil {
		return "", err
	}
	buildDir = dir
	path := filepath.Join(dir, "cluster")
	if text, err := exec.Command("go", "build", "-o", path, "github.com/prefork/cluster/cmd/cluster").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, text)
	}
	return path, nil
})
