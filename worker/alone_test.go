package worker

import (
	"net"
	"strings"
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
