package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/worker/demo"
)

const patience = time.Minute // eight interpreters start on a busy machine

// Each peer serves, in two sizes, what the reference application answers, byte for byte, and leaves with all processes.
func TestStarted(t *testing.T) {
	handler, err := demo.Handler()
	if err != nil {
		t.Fatal(err)
	}
	reference := httptest.NewServer(handler)
	t.Cleanup(reference.Close)
	s := embeddedSet(t)
	for _, name := range s.Names() {
		p, err := s.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []struct{ workers, threads int }{{8, 3}, {1, 1}} {
			t.Run(fmt.Sprintf("%s %d×%d", name, size.workers, size.threads), func(t *testing.T) {
				t.Parallel()
				needPeer(t, p)
				started(t, p, size.workers, size.threads, reference.URL)
			})
		}
	}
}

// needPeer is for peers that CI has and others may not.
func needPeer(t *testing.T, p Peer) {
	t.Helper()
	err := p.Installed()
	if err == nil {
		return
	}
	if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func started(t *testing.T, p Peer, workers, threads int, reference string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if version := p.Version(ctx); !strings.ContainsAny(version, "0123456789") {
		t.Errorf("the version is %q", version)
	}
	addr := free(t)
	c, err := p.Command(Params{Host: addr.IP.String(), Port: addr.Port, Addr: addr.String(), Workers: workers, Threads: threads, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + addr.String()
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, append(os.Environ(), c.Env...), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group, exited := cmd.Process.Pid, make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-group, syscall.SIGKILL) // nothing, if it ended well
		if text, err := os.ReadFile(out.Name()); t.Failed() {
			t.Logf("it said (%v):\n%s", err, text)
		}
		out.Close()
	})

	dials := atomic.Int32{}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}}
	defer client.CloseIdleConnections()
	await(t, "it is ready", func() bool {
		res, err := client.Get(url + c.Ready)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	// Now all workers are to be there, and no process more.
	await(t, fmt.Sprintf("there are %d processes", 1+workers), func() bool { return len(members(group)) == 1+workers })

	client.CloseIdleConnections()
	dials.Store(0)
	compare(t, p, client, url, reference)
	if n := dials.Load(); n != 2 { // to the peer and to the reference
		t.Errorf("%d connections, want 2: it does not keep them", n)
	}
	if n := len(members(group)); n != 1+workers {
		t.Errorf("%d processes, want %d", n, 1+workers)
	}

	if err := cmd.Process.Signal(c.Stop); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("the end: %v", err)
		}
	case <-ctx.Done():
		t.Fatalf("it does not end at %v", c.Stop)
	}
	await(t, "all processes have gone", func() bool { return len(members(group)) == 0 })
	if conn, err := net.Dial("tcp", addr.String()); err == nil {
		conn.Close()
		t.Error("its address still takes connections")
	}
}

// compare asks for every path that it serves.
func compare(t *testing.T, p Peer, client *http.Client, url, reference string) {
	t.Helper()
	queries := map[string][]string{
		"/cpu": {"", "?n=0", "?n=10", "?n=ten", "?n=", "?n=-1", "?n=46", "?other=1&n=7", "?n=+7"},
		"/io":  {"", "?ms=0", "?ms=-5", "?ms=2.5", "?ms=.5", "?ms=soon", "?x=1&ms=1"},
	}
	queries["/io_native"] = queries["/io"]
	paths := p.Paths
	if p.Serves("/cpu") { // an application
		paths = append(paths[:len(paths):len(paths)], "/nowhere")
	}
	for _, path := range paths {
		if path == "/upload" {
			for _, size := range []int{0, 1, 300_000} {
				body := bytes.Repeat([]byte("x"), size)
				if got, wanted := ask(t, client, url+path, body), ask(t, client, reference+path, body); got != wanted {
					t.Errorf("%s of %d bytes: %q, want %q", path, size, got, wanted)
				}
			}
			continue
		}
		for _, query := range append([]string{""}, queries[path]...) {
			if got, wanted := ask(t, client, url+path+query, nil), ask(t, client, reference+path+query, nil); got != wanted {
				t.Errorf("%s%s: %.300q, want %.300q", path, query, got, wanted)
			}
		}
	}
	for _, path := range []string{"/io", "/io_native"} {
		begun := time.Now()
		if p.Serves(path) && strings.HasPrefix(ask(t, client, url+path+"?ms=30.25", nil), "200") {
			// Node's event loop takes the time at its start, so it may be part of a millisecond early.
			if took := time.Since(begun); took < 29*time.Millisecond {
				t.Errorf("%s?ms=30.25 took %v", path, took)
			}
		}
	}
}

// ask gets a page, or posts a body. It returns status, type and body.
func ask(t *testing.T, client *http.Client, url string, body []byte) string {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s\n%s", res.StatusCode, res.Header.Get("Content-Type"), all)
}

// free is an address that nobody uses. Peers cannot be given port 0: some bind once for each worker. The host is one of
// loopback's own, drawn by lot: no other test takes its ports meanwhile, and no connection leaves from them.
func free(t *testing.T) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(250)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr)
}

// members are the processes of a group that have not ended.
func members(group int) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has gone
		}
		// proc(5): the name, which is in parentheses, may have any characters; state, parent and group follow.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[0] != "Z" && fields[2] == strconv.Itoa(group) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v are over before %s", patience, what)
		}
	}
}
