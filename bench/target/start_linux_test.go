package target

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-reuseport"
)

func TestPeer(t *testing.T) {
	t.Parallel()
	r := started(t, launcher(t), Spec{Kind: Peer, Peer: "serve/late"})
	if r.Ready() <= 0 || r.Ready() > time.Minute {
		t.Errorf("ready after %v", r.Ready())
	}
	if err := r.Died(); err != nil {
		t.Error(err)
	}
	if len(r.Argv()) != 1 || r.Argv()[0] != os.Args[0] {
		t.Errorf("argv: %q", r.Argv())
	}
	_, pid, err := get(t.Context(), "http://"+r.Addr()+"/")
	if err != nil || string(pid) != strconv.Itoa(r.cmd.Process.Pid) {
		t.Errorf("the server is %s, %v; the root is %d", pid, err, r.cmd.Process.Pid)
	}
	if _, err := r.Event(t.Context(), "restart"); err == nil || !strings.Contains(err.Error(), "only a cluster can restart") {
		t.Errorf("a peer was restarted: %v", err)
	}
	stopped(t, r)
	if err := r.Died(); err == nil || !strings.Contains(err.Error(), "signal: terminated") {
		t.Errorf("after stop: %v", err)
	}
	if _, err := r.Read(); err == nil {
		t.Error("what has been stopped was read")
	}
	if _, err := r.Memory(); err == nil {
		t.Error("the memory of what has been stopped was read")
	}
}

func TestBare(t *testing.T) {
	t.Parallel()
	r := started(t, launcher(t), Spec{Kind: Bare, Peer: "fasthttp", Env: []string{envRole + "=serve"}})
	ask(t, r, "/plaintext", 1, 200)
	if want := os.Args[0] + " bare --addr " + r.Addr() + " --engine fasthttp"; strings.Join(r.Argv(), " ") != want {
		t.Errorf("argv %q, want %q", r.Argv(), want)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec Spec
		want []string // parts of the message
		not  string
	}{
		{"dies", Spec{Kind: Peer, Peer: "dies"}, []string{"peer dies died: exit status 3; its last words:\nline 10\n", "line 29"}, "line 9\n"},
		{"hangs", Spec{Kind: Peer, Peer: "hangs"}, []string{"peer hangs: not ready 3s after its start", "connection refused", "its last words:\nbooting"}, ""},
		{"says no", Spec{Kind: Peer, Peer: "serve/never"}, []string{"not ready 3s after its start", "/never is answered 418", "without a word"}, ""},
		{"not installed", Spec{Kind: Peer, Peer: "apache"}, []string{"apache is not installed"}, ""},
		{"unknown bare", Spec{Kind: Bare, Peer: "puma"}, []string{`unknown bare server "puma"`, "fasthttp-prefork"}, ""},
		{"unknown kind", Spec{Kind: "moon"}, []string{`unknown kind of target "moon"`}, ""},
		{"no binary", Spec{Kind: Bare, Peer: "nethttp", Binary: "/nothing/here"}, []string{"bare nethttp does not start", "no such file"}, ""},
		{"no cluster", Spec{Kind: Cluster, Binary: "/bin/false"}, []string{"cluster died: exit status 1, without a word"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := launcher(t)
			if strings.Contains(test.want[0], "not ready") {
				l.BootTimeout = 3 * time.Second
			}
			r, err := l.Start(t.Context(), test.spec)
			if err == nil {
				_ = r.Stop(t.Context())
				t.Fatal("it started")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q has no %q", err, part)
				}
			}
			if test.not != "" && strings.Contains(err.Error(), test.not) {
				t.Errorf("error %q has %q", err, test.not)
			}
		})
	}
	t.Run("no peers", func(t *testing.T) {
		t.Parallel()
		l := launcher(t)
		l.Peers = nil
		if _, err := l.Start(t.Context(), Spec{Kind: Peer, Peer: "serve"}); err == nil {
			t.Error("a peer started without a description")
		}
	})
	t.Run("no command", func(t *testing.T) {
		t.Parallel()
		l := launcher(t)
		l.Peers = func(string, Params) (Command, error) { return Command{}, nil }
		if _, err := l.Start(t.Context(), Spec{Kind: Peer, Peer: "serve"}); err == nil || !strings.Contains(err.Error(), "peer serve: its description gives no command") {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("folder too long", func(t *testing.T) {
		t.Parallel()
		l := launcher(t)
		dir := l.Dir
		l.Dir = filepath.Join(dir, strings.Repeat("d", 100))
		if err := os.Mkdir(l.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Start(t.Context(), Spec{Kind: Cluster}); err == nil || !strings.Contains(err.Error(), "too long for the path of a socket") {
			t.Errorf("error: %v", err)
		}
		os.Remove(l.Dir)
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := launcher(t).Start(ctx, Spec{Kind: Peer, Peer: "hangs"}); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
			t.Errorf("error: %v", err)
		}
	})
}

func TestDiedLater(t *testing.T) {
	t.Parallel()
	r := started(t, launcher(t), Spec{Kind: Peer, Peer: "serve"})
	_, _, _ = get(t.Context(), "http://"+r.Addr()+"/die")
	eventually(t, "it has died", func() bool { return r.Died() != nil })
	for what, err := range map[string]error{"died": r.Died(), "read": second(r.Read()), "memory": second(r.Memory())} {
		if err == nil || !strings.Contains(err.Error(), "exit status 3; its last words:\n") || !strings.HasSuffix(err.Error(), "line 29") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What the target prints goes to a file only if that is asked for; its errors are kept either way.
func TestOutput(t *testing.T) {
	t.Parallel()
	for _, output := range []bool{false, true} {
		r := started(t, launcher(t), Spec{Kind: Peer, Peer: "loud", Output: output})
		if got := strings.Contains(r.lastWords(), "on standard output"); got != output {
			t.Errorf("Output %v: %q", output, r.lastWords())
		}
	}
}

// Settings in the environment of the benchmark are not those of what is measured; those of the Spec are, and win over the peer's.
func TestEnvironment(t *testing.T) {
	t.Setenv("CLUSTER_WORKERS", "7")
	t.Setenv("GOMAXPROCS", "1")
	t.Setenv("TARGET_TEST_OTHER", "kept")
	r := started(t, launcher(t), Spec{Kind: Peer, Peer: "hangs", Env: []string{envRole + "=serve", "GOGC=33"}})
	text, err := os.ReadFile("/proc/" + strconv.Itoa(r.cmd.Process.Pid) + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	env := "\x00" + string(text)
	for variable, want := range map[string]bool{
		"CLUSTER_WORKERS=": false, "GOMAXPROCS=": false, "TARGET_TEST_OTHER=kept\x00": true, "GOGC=33\x00": true,
		envRole + "=hangs\x00": false, markVariable + "=": true,
	} {
		if strings.Contains(env, "\x00"+variable) != want {
			t.Errorf("%q in the environment: %v", variable, !want)
		}
	}
}

func TestAddressTaken(t *testing.T) {
	t.Parallel()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	shared, err := reuseport.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	for name, taken := range map[string]net.Listener{"plain": plain, "with SO_REUSEPORT": shared} {
		l := launcher(t)
		l.Addr = taken.Addr().String()
		_, err := l.Start(t.Context(), Spec{Kind: Peer, Peer: "serve"})
		if err == nil {
			t.Fatalf("%s: started on an address that is taken", name)
		}
		for _, part := range []string{l.Addr + " is taken by pid " + strconv.Itoa(os.Getpid()) + " (", "free it or give another"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q has no %q", name, err, part)
			}
		}
	}
}

func TestAddressFixed(t *testing.T) {
	t.Parallel()
	port, err := pick()
	if err != nil {
		t.Fatal(err)
	}
	l := launcher(t)
	l.Addr = address(loopback, port)
	for range 2 { // the first leaves it free for the second
		r := started(t, l, Spec{Kind: Peer, Peer: "serve"})
		if r.Addr() != l.Addr {
			t.Errorf("serves %s, not %s", r.Addr(), l.Addr)
		}
		stopped(t, r)
	}
	for _, bad := range []string{"127.0.0.1", "127.0.0.1:0", ":80"} {
		l.Addr = bad
		if _, err := l.Start(t.Context(), Spec{Kind: Peer, Peer: "serve"}); err == nil || !strings.Contains(err.Error(), "give HOST:PORT") {
			t.Errorf("address %q: %v", bad, err)
		}
	}
}

// Two targets do not get one address, and ports are not those that connections are given.
func TestAddressPicked(t *testing.T) {
	t.Parallel()
	l := launcher(t)
	a, b := started(t, l, Spec{Kind: Peer, Peer: "serve"}), started(t, l, Spec{Kind: Peer, Peer: "serve"})
	if a.Addr() == b.Addr() {
		t.Errorf("both serve %s", a.Addr())
	}
	for range 200 {
		if port, err := pick(); err != nil || port < 1024 || port >= firstOutgoing() {
			t.Fatalf("port %d, %v", port, err)
		}
	}
}

// A benchmark that is killed leaves no target.
func TestKilledBenchmark(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=launch", envFile+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !living(t, pid) {
		t.Fatalf("the benchmark said %q, %v; living: %v", line, err, living(t, pid))
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	eventually(t, "the target has ended with the benchmark", func() bool { return !living(t, pid) })
}
