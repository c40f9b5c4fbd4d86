package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// mix is what is asked for, in turn: what most of the reference application's handlers, and both engines, go through.
var mix = []struct {
	path string
	body int // bytes of an upload; 0: GET
}{
	{path: "/plaintext"}, {path: "/10k"}, {path: "/cpu?n=10"}, {path: "/plaintext"}, {path: "/io?ms=0.1"}, {path: "/upload", body: 8 << 10},
}

// load asks on so many connections for a time, and returns how many answers came. Any but a 200 ends it with an error.
func load(url string, length time.Duration, connections int) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var answers atomic.Int64
	failed := make(chan error, connections)
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			if err := client(ctx, url, &answers); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	clients.Wait()
	select {
	case err := <-failed:
		return answers.Load(), err
	default:
		return answers.Load(), nil
	}
}

// client asks on a connection of its own until the context ends.
func client(ctx context.Context, url string, answers *atomic.Int64) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for i := 0; ; i++ {
		ask := mix[i%len(mix)]
		method, body := http.MethodGet, io.Reader(nil)
		if ask.body > 0 {
			method, body = http.MethodPost, bytes.NewReader(make([]byte, ask.body))
		}
		r, err := http.NewRequest(method, url+ask.path, body)
		if err != nil {
			return err
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s was answered %s", ask.path, res.Status)
		}
		answers.Add(1)
		if ctx.Err() != nil {
			return nil
		}
	}
}
