package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/worker/demo"
)

func TestLoad(t *testing.T) {
	handler, err := demo.Handler()
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	answers, err := load(server.URL, 100*time.Millisecond, 3)
	if err != nil || answers < 3 || answers != asked.Load() {
		t.Errorf("%d answers to %d requests, %v", answers, asked.Load(), err)
	}
}

func TestLoadFails(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	begun := time.Now()
	if _, err := load(server.URL, time.Hour, 2); err == nil || err.Error() != "/plaintext was answered 404 Not Found" {
		t.Errorf("error %v after %v", err, time.Since(begun))
	}
	server.Close()
	if _, err := load(server.URL, time.Hour, 1); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
}
