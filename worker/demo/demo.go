// Package demo is the reference application: the handlers that the benchmarks and the first five minutes use.
package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prefork/cluster/worker"
)

const (
	plaintext    = "Hello, World!"
	tenKilobytes = 10 << 10
	defaultFib   = 20
	defaultWait  = 5 * time.Millisecond
	maxFib       = 45
)

// Handler serves the reference application:
//
//	/plaintext  Hello, World!                    /pid        pid, slot and generation as JSON
//	/10k        10,240 bytes                     /upload     size and SHA-256 of the body
//	/cpu        recursive Fibonacci, ?n=20       /panic      a handler that panics
//	/io         a timer of ?ms=5                 /exit       ends the process with ?code=1
//	/io_native  the same wait in a system call   /app        a data set, templates, garbage (CLUSTER_DEMO_DATA)
func Handler() (http.Handler, error) {
	app, err := loadApp(os.Getenv("CLUSTER_DEMO_DATA"))
	if err != nil {
		return nil, err
	}
	ten := bytes.Repeat([]byte("0123456789abcdef"), tenKilobytes/16)
	mux := http.NewServeMux()
	mux.HandleFunc("/plaintext", func(w http.ResponseWriter, _ *http.Request) { text(w, []byte(plaintext)) })
	mux.HandleFunc("/10k", func(w http.ResponseWriter, _ *http.Request) { text(w, ten) })
	mux.HandleFunc("/cpu", cpu)
	mux.HandleFunc("/io", wait(time.Sleep))
	mux.HandleFunc("/io_native", wait(nativeSleep))
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/pid", pid)
	mux.Handle("/app", app)
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(errors.New("/panic was asked for")) })
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) { os.Exit(number(r, "code", 1)) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		text(w, []byte("cluster's reference application: /plaintext /10k /cpu /io /io_native /upload /pid /app /panic /exit\n"))
	})
	return mux, nil
}

func text(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = textPlain
	_, _ = w.Write(body)
}

var textPlain = []string{"text/plain; charset=utf-8"}

// number is a query parameter as a number, or def if it is missing or none.
func number(r *http.Request, name string, def int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return def
	}
	return n
}

func cpu(w http.ResponseWriter, r *http.Request) {
	n := number(r, "n", defaultFib)
	if n < 0 || n > maxFib {
		http.Error(w, fmt.Sprintf("n must be 0..%d", maxFib), http.StatusBadRequest)
		return
	}
	text(w, strconv.AppendInt(nil, int64(Fibonacci(n)), 10))
}

// Fibonacci is the usual recursive one: work that allocates nothing and cannot be done in parallel.
func Fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return Fibonacci(n-1) + Fibonacci(n-2)
}

func wait(sleep func(time.Duration)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d := defaultWait
		if r.URL.RawQuery != "" {
			d = time.Duration(number(r, "ms", int(defaultWait/time.Millisecond))) * time.Millisecond
		}
		sleep(min(max(d, 0), time.Minute))
		text(w, []byte("ok"))
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, map[string]any{"bytes": n, "sha256": hex.EncodeToString(sum.Sum(nil))})
}

func pid(w http.ResponseWriter, _ *http.Request) {
	answer(w, struct {
		PID int `json:"pid"`
		worker.Info
	}{os.Getpid(), worker.Self()})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
