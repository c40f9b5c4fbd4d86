// Package demo is the reference application: the handlers that the benchmarks and the first five minutes use.
package demo

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Handler serves the reference application:
//
//	/plaintext  Hello, World!                    /pid        pid, slot and generation as JSON
//	/10k        10,240 bytes                     /upload     size and SHA-256 of the body
//	/cpu        recursive Fibonacci, ?n=20       /panic      a handler that panics
//	/io         a timer of ?ms=5, or 4.732       /exit       ends the process with ?code=1
//	/io_native  the same wait in a system call   /app        a data set, templates, garbage (CLUSTER_DEMO_DATA)
//
// Two variables of the environment change it. CLUSTER_DEMO_DATA=100MiB is the size of the data set; without it /app answers
// 503. CLUSTER_DEMO_LOG makes the handler log a line for each request, as applications do: shared or handler, see
// RequestLog. A value that it does not know is an error.
func Handler() (http.Handler, error) {
	data, err := LoadData(os.Getenv("CLUSTER_DEMO_DATA"))
	if err != nil {
		return nil, err
	}
	note, err := RequestLog(os.Getenv("CLUSTER_DEMO_LOG"))
	if err != nil {
		return nil, err
	}
	plaintext, ten := []byte(Plaintext), TenKilobytes()
	mux := http.NewServeMux()
	mux.HandleFunc("/plaintext", func(w http.ResponseWriter, _ *http.Request) { text(w, plaintext) })
	length := []string{strconv.Itoa(len(ten))} // which net/http leaves out of what is larger than its buffer; other servers do not
	mux.HandleFunc("/10k", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = length
		text(w, ten)
	})
	mux.HandleFunc("/cpu", cpu)
	mux.HandleFunc("/io", wait(time.Sleep))
	mux.HandleFunc("/io_native", wait(NativeSleep))
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { jsonText(w, Pid()) })
	mux.HandleFunc("/app", app(data))
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(errors.New("/panic was asked for")) })
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) { Exit(r.URL.Query().Get("code")) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, []byte(FrontPage)) })
	if note == nil {
		return mux, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r.Method, r.URL.Path)
		mux.ServeHTTP(w, r)
	}), nil
}

func text(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = textPlain
	_, _ = w.Write(body)
}

var textPlain = []string{"text/plain; charset=utf-8"}

func jsonText(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func cpu(w http.ResponseWriter, r *http.Request) {
	answer, ok := CPU(r.URL.Query().Get("n"))
	if !ok {
		http.Error(w, BadNumber, http.StatusBadRequest)
		return
	}
	text(w, answer)
}

func wait(sleep func(time.Duration)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ms := ""
		if r.URL.RawQuery != "" {
			ms = r.URL.Query().Get("ms")
		}
		sleep(Wait(ms))
		text(w, []byte("ok"))
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	answer, err := Upload(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	jsonText(w, answer)
}

func app(data *Data) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if data == nil {
			http.Error(w, NoData, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", PageType)
		if err := data.Page(w); err != nil {
			panic(http.ErrAbortHandler) // the client left
		}
	}
}
