package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prefork/cluster/master/plan"
)

// A cluster that systemd starts with a socket serves it, whether it names it or no address at all, and restarts its
// workers with it. One that names another address says that the socket is served by nobody.
func TestSocketOfSystemd(t *testing.T) {
	t.Parallel()
	program := needProgram(t, "systemd-socket-activate", "systemd")
	for name, test := range map[string]struct {
		flags []string
		says  string
	}{
		"by name":     {flags: []string{"--bind", "fd://web"}},
		"by number":   {flags: []string{"--bind", "fd://3"}},
		"by default":  {},
		"not at all":  {flags: []string{"--bind", "127.0.0.1:0"}, says: `a socket was handed over at start that no --bind serves, and its clients would wait for ever: descriptor 3, named "web"; give --bind fd://web too`},
		"wrong names": {flags: []string{"--bind", "fd://wep"}, says: "cannot bind fd://wep: no such socket was handed over at start, only fd://web"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			path := filepath.Join(dir, "sock")
			args := []string{"-l", path, "--fdname=web"}
			env := append(environment(dir), envCommand+"=1")
			for _, v := range env {
				args = append(args, "-E", v)
			}
			args = append(args, testBinary(t), "start", "--workers", "2", "--settle", "50ms", "--drain-idle", "0s", "--metrics", "off")
			cmd := exec.Command(program, append(args, test.flags...)...)
			cmd.Dir = dir
			read, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waited := make(chan struct{})
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				<-waited
			})
			said := bufio.NewScanner(read)
			for said.Scan() && !strings.HasPrefix(said.Text(), "Listening on ") {
			}
			log := make(chan string, 1)
			go func() {
				var text strings.Builder
				for said.Scan() {
					text.WriteString(said.Text() + "\n")
				}
				log <- text.String()
			}()
			go func() {
				defer close(waited)
				text := <-log // all of it, before Wait closes the pipe
				_ = cmd.Wait()
				log <- text
			}()

			client := onSocket(path)
			err = hello(client) // it is started for this one, who waits
			if test.says != "" {
				<-waited
				if text := <-log; err == nil || !strings.Contains(text, test.says) || cmd.ProcessState.ExitCode() != plan.ExitConfig {
					t.Errorf("exit code %d, answered %v, it says\n%s", cmd.ProcessState.ExitCode(), err == nil, text)
				}
				return
			}
			if err != nil {
				_ = cmd.Process.Kill() // whose log is over then
				<-waited
				t.Fatalf("%v\n%s", err, <-log)
			}
			verb := func(args ...string) string {
				verb := exec.Command(testBinary(t), args...)
				verb.Env, verb.Dir = env, dir
				out, err := verb.CombinedOutput()
				if err != nil {
					t.Errorf("cluster %q: %v\n%s", args, err, out)
				}
				return string(out)
			}
			verb("restart", "--wait=drained")
			if err := hello(client); err != nil {
				t.Errorf("after a restart: %v", err)
			}
			if out := verb("status"); !strings.Contains(out, " on unix://"+path+"\n") {
				t.Errorf("status says %s", out)
			}
			verb("stop")
			<-waited
			if code := cmd.ProcessState.ExitCode(); code != plan.ExitClean || strings.Contains(<-log, "level=ERROR") {
				t.Errorf("exit code %d", code)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("systemd's file of the socket: %v", err)
			}
		})
	}
}
