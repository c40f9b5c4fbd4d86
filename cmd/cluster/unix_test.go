package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// onSocket is a client of a unix socket that makes a connection for each request.
func onSocket(path string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
}

func hello(c *http.Client) error {
	res, err := c.Get("http://app/plaintext")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "Hello, World!" {
		return errors.New("answered " + string(text))
	}
	return nil
}

// A unix socket is served by all workers: restarts, a worker's death and scaling lose nothing that waits in it. A new
// master waits for the orphans of a dead one, and a stop takes the file away.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "app.sock")
	flags := []string{"--workers", "2", "--bind", "unix://" + path + "?mode=0600", "--bind", "127.0.0.1:0", "--orphan-grace", "5s", "--settle", "100ms"}
	c := startCluster(t, flags...)
	if there, err := os.Lstat(path); err != nil || there.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", there, err)
	}

	client := onSocket(path)
	var stop atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				if err := hello(client); err != nil {
					t.Errorf("request %d: %v", asked.Load(), err)
					return
				}
				asked.Add(1)
			}
		})
	}
	c.Must("restart", "--wait=drained")
	c.Must("scale", "1")
	c.Must("scale", "3")
	c.Must("restart", "--wait=drained")
	stop.Store(true)
	clients.Wait()
	if asked.Load() == 0 {
		t.Error("nobody asked")
	}

	if out := c.Must("status"); !strings.Contains(out, "\nall slots share unix://"+path+": 0 of ") {
		t.Errorf("status says %s", out)
	}
	if n := metric(t, c, `cluster_listen_backlog{bind="unix://`+path+`",slot="all"}`); n != 0 {
		t.Errorf("%v connections wait", n)
	}

	c.KillMaster()
	if err := hello(client); err != nil {
		t.Errorf("the orphans do not serve: %v", err)
	}
	next := startCluster(t, flags...)
	if !strings.Contains(next.Log(), "workers of a dead master hold the address") {
		t.Errorf("the new master did not wait:\n%s", next.Log())
	}
	if err := hello(client); err != nil {
		t.Errorf("the new cluster does not serve: %v", err)
	}
	next.Must("stop")
	next.Wait()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there after the stop: %v", err)
	}
}
