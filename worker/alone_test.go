package worker

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestAloneAddress(t *testing.T) {
	for _, test := range []struct {
		args string
		port string
		want string
	}{
		{"", "", "tcp://127.0.0.1:9292"},
		{"", "8080", "tcp://:8080"},
		{"--bind tcp://:1", "8080", "tcp://:1"},
		{"--bind=tcp://:1", "", "tcp://:1"},
		{"--bind :1", "", ":1"},
		{"--bind=", "", ""},
		{"--verbose --bind tcp://:1 --bind tcp://:2", "", "tcp://:1"},
		{"serve --bind tcp://:1", "", "tcp://:1"},
		{"--bind", "", "tcp://127.0.0.1:9292"},
		{"-- --bind tcp://:1", "", "tcp://127.0.0.1:9292"},
		{"--binder tcp://:1", "8080", "tcp://:8080"},
		{"bind tcp://:1 bind=tcp://:1", "", "tcp://127.0.0.1:9292"},
	} {
		getenv := func(name string) string { return map[string]string{"PORT": test.port}[name] }
		if got := aloneAddress(strings.Fields(test.args), getenv); got != test.want {
			t.Errorf("%q with PORT=%q: %s, want %s", test.args, test.port, got, test.want)
		}
	}
}

func TestListenAlone(t *testing.T) {
	for _, address := range []string{"tcp://127.0.0.1:0", "127.0.0.1:0", "tcp://:0", "tcp://localhost:0"} {
		l, err := listenAlone(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		l.Close()
	}
	taken := listenLocal(t).Addr().(*net.TCPAddr).String()
	for address, parts := range map[string][]string{
		"unix:///tmp/socket":      {"cannot bind unix:///tmp/socket", "tcp://host:port only", "cluster start"},
		"tls://127.0.0.1:0":       {"cannot bind tls://127.0.0.1:0", "tcp://host:port only"},
		"tcp://127.0.0.1":         {"cannot bind tcp://127.0.0.1", "missing port"},
		"tcp://127.0.0.1:seventy": {"cannot bind tcp://127.0.0.1:seventy"},
		"":                        {`cannot bind "": it is empty`, "tcp://host:port"},
		"tcp://":                  {`cannot bind "tcp://": it is empty`},
		"tcp://" + taken:          {"cannot bind tcp://" + taken, "address already in use"},
	} {
		l, err := listenAlone(address)
		if err == nil {
			l.Close()
		}
		wantError(t, err, parts...)
	}
}

func TestSelfBeforeServe(t *testing.T) {
	want(t, "Self", Self(), Info{Alone: true})
}

// startAlone starts the test binary as a person would, without a master.
func startAlone(t *testing.T, role string, args ...string) *fakeMaster {
	t.Helper()
	m := &fakeMaster{t: t, log: &logBook{}, exited: make(chan syscall.WaitStatus, 1)}
	m.start(append([]string{"program"}, args...), []string{envRole + "=" + role}, nil)
	return m
}

// awaitAddress waits until it says where it listens.
func (m *fakeMaster) awaitAddress() string {
	m.t.Helper()
	addr, rest, _ := strings.Cut(m.awaitLine("serving alone on http://"), " ")
	want(m.t, "what it says after the address", rest, "with 3 threads (no cluster)")
	return addr
}

func TestAlone(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		m := startAlone(t, "serve", "--bind", "tcp://127.0.0.1:0")
		addr := m.awaitAddress()
		c, running := dial(t, addr), dial(t, addr)
		want(t, "body", c.get("/self").body, fmt.Sprintf("%d {Slot:0 Seat:0 Generation:0 Alone:true}", m.pid))
		running.send("GET /read HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n")
		want(t, "interim", running.line(), "reading\n")
		m.signal(s)
		eventually(t, "the listener to be closed", func() bool {
			nc, err := net.Dial("tcp", addr)
			if err == nil {
				nc.Close()
			}
			return err != nil
		})
		a := c.get("/")
		want(t, "body", a.body, "hello")
		want(t, "Connection: close", a.close, true)
		running.send("12345")
		want(t, "what was sent", running.line(), "12345\n")
		running.Close()
		m.wantExitCode(0)
	}
}

func TestAloneRefuses(t *testing.T) {
	t.Parallel()
	taken := "tcp://" + listenLocal(t).Addr().String()
	for address, text := range map[string]string{
		taken:         "worker: cannot bind " + taken + ": listen tcp " + strings.TrimPrefix(taken, "tcp://") + ": bind: address already in use\n",
		"unix:///x/y": "worker: cannot bind unix:///x/y: a worker alone listens on tcp://host:port only; under cluster start every kind of bind works\n",
	} {
		m := startAlone(t, "serve", "--bind="+address)
		m.wantExitCode(1)
		want(t, "what it said", m.log.String(), text)
	}
}

func TestServeOnlyOnce(t *testing.T) {
	t.Parallel()
	m := startAlone(t, "serve twice", "--bind", "tcp://127.0.0.1:0")
	addr := m.awaitAddress()
	const refusal = "worker: this process serves already"
	if rest := m.awaitLine("second: " + refusal); rest == "" {
		t.Error("it does not say what may be called once")
	}
	m.awaitLine("third: " + refusal)
	c := dial(t, addr)
	want(t, "body", c.get("/").body, "hello")
	c.Close()
	m.signal(syscall.SIGTERM)
	m.wantExitCode(0)
}
