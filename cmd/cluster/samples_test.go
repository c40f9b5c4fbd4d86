package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/prefork/cluster/master/api"
)

// movedHere are the places of the samples that a test may not have, or must not.
var movedHere = []struct{ place, here string }{
	{`(tcp://|")(\[::\]|0\.0\.0\.0|127\.0\.0\.1):\d+`, "${1}127.0.0.1:0"},
	{`(metrics: )[^"\n]+\n`, "${1}127.0.0.1:0\n"},
	{`unix:///run/app/`, "unix://DIR/"},
	{`&owner=:[a-z-]+`, ""},
	{`/(run|var/log)/app/`, "DIR/"},
}

// Each sample is what a cluster starts with, and serves.
func TestSamplesStart(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../configs/samples/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%q %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := shortDir(t)
			for _, m := range movedHere {
				text = regexp.MustCompile(m.place).ReplaceAll(text, []byte(m.here))
			}
			text = regexp.MustCompile("DIR/").ReplaceAll(text, []byte(dir+"/"))
			// Sixteen CPUs would not make it a better test.
			text = regexp.MustCompile(`workers: auto`).ReplaceAll(text, []byte("workers: 2"))
			if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			c := &testCluster{t: t, Dir: dir, work: dir, log: filepath.Join(dir, "log"), env: environment(dir), filed: true}
			c.launch(nil)
			s := c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" })
			network := "tcp"
			if filepath.IsAbs(c.Addr) {
				network = "unix"
			}
			client := &http.Client{Timeout: startPatience, Transport: &http.Transport{
				DisableKeepAlives: true,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, c.Addr)
				},
			}}
			if err := hello(client); err != nil {
				t.Error(err)
			}
			res, err := http.Get("http://" + s.Metrics + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
				t.Errorf("/readyz: %s %s", res.Status, body)
			}
			c.Must("config", "check")
		})
	}
}
