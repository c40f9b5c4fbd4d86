package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
)

// Behind nginx, which keeps connections to the cluster open and asks nothing twice: every one of its errors would be seen.
func TestNothingIsLostBehindNginx(t *testing.T) {
	nginx := needProgram(t, "nginx", "nginx-light")
	for _, upstream := range []string{"unix", "tcp"} {
		t.Run(upstream, func(t *testing.T) {
			const enough = 3000
			dir := shortDir(t)
			bind, server := "127.0.0.1:0", ""
			if upstream == "unix" {
				bind = "unix://" + dir + "/app.sock?mode=0666"
				server = "unix:" + dir + "/app.sock"
			}
			c, commotion := startRestless(t, "--bind", bind, "--drain-idle", "2s")
			if server == "" {
				server = c.Addr
			}
			address := startNginx(t, nginx, dir, server)
			l := startLoadAs(traffic.Clients{Addr: address}, 4, 8, 500*time.Millisecond, nil)
			for round := 0; round < 2 || l.fresh.Load() < enough || l.kept.Load() < enough; round++ {
				commotion()
				if t.Failed() {
					break
				}
			}
			report := l.stop()
			t.Logf("%d requests on new and %d on kept connections; %v", l.fresh.Load(), l.kept.Load(), report)
			if report.Losses() != 0 || report.ClassCounts["5xx"] != 0 {
				t.Errorf("requests were lost: %v", report)
			}
			if errors, err := os.ReadFile(dir + "/error.log"); err != nil || len(errors) > 0 {
				t.Errorf("nginx reports errors: %v\n%.4000s", err, errors)
			}
		})
	}
}

// startNginx runs an nginx in front of a server and returns its address.
func startNginx(t *testing.T, nginx, dir, server string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // nginx cannot be told to choose one
	conf := fmt.Sprintf(`
pid %[1]s/nginx.pid;
error_log %[1]s/error.log warn;
worker_processes 1;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	upstream app { server %[2]s; keepalive 16; }
	server {
		listen %[3]s;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_next_upstream off;
		}
	}
}
`, dir, server, address)
	if err := os.WriteFile(dir+"/nginx.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	// As root nginx would give its workers another user, who may not enter the test's directory.
	cmd := exec.Command(nginx, "-p", dir, "-c", dir+"/nginx.conf", "-e", dir+"/error.log", "-g", "daemon off; user "+userName(t)+";")
	if os.Getuid() != 0 {
		cmd.Args[len(cmd.Args)-1] = "daemon off;"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := os.Create(filepath.Join(dir, "nginx.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	for end := time.Now().Add(startPatience); ; {
		answer, err := http.Get("http://" + address + "/plaintext")
		if err == nil {
			answer.Body.Close()
			return address
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("nginx does not answer: %v\n%s", err, text)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

func userName(t *testing.T) string {
	t.Helper()
	name, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

// h2load counts what did not succeed. Over HTTP/1.1 it goes on on a new connection when the server has closed one; over HTTP/2
// it starts no more after a GOAWAY: each request that was started must have succeeded. With one stream at a time, because
// h2load gives up the streams that cross a GOAWAY on the way, which a client may ask again (RFC 9113, 6.8) and Go's does.
func TestNothingIsLostByH2load(t *testing.T) {
	h2load := needProgram(t, "h2load", "nghttp2-client")
	query, _ := certificate(t, shortDir(t))
	for name, flags := range map[string][]string{"HTTP 2": {"-m", "1"}, "HTTP 1.1": {"--h1"}} {
		t.Run(name, func(t *testing.T) {
			c, commotion := startRestless(t, "--bind", "tls://127.0.0.1:0"+query)
			stop, counted := make(chan struct{}), make(chan int)
			go func() {
				defer close(counted)
				for started := 0; ; {
					select {
					case <-stop:
						counted <- started
						return
					default:
						started += runH2load(t, h2load, append(flags, "-c", "4", "-n", "2000", "-T", "30", "https://"+c.Addr+"/10k"))
					}
				}
			}()
			commotion()
			close(stop)
			started := <-counted
			t.Logf("%d requests were started", started)
			if started < 1000 {
				t.Errorf("only %d requests were started", started)
			}
		})
	}
}

// runH2load returns how many requests were started, all of which must have succeeded.
func runH2load(t *testing.T, h2load string, args []string) int {
	out, err := exec.Command(h2load, args...).CombinedOutput()
	counts := regexp.MustCompile(`requests: \d+ total, (\d+) started, \d+ done, (\d+) succeeded`).FindSubmatch(out)
	if err != nil || counts == nil || string(counts[1]) != string(counts[2]) {
		t.Errorf("h2load: %v\n%s", err, out)
		return 0
	}
	n, _ := strconv.Atoi(string(counts[1]))
	return n
}
