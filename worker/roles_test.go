package worker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// roles are the programs that the test binary can be.
var roles = map[string]func() error{
	"serve": func() error { return Serve(roleHandler()) },
	"boot waits": func() error {
		return Serve(roleHandler(), OnBoot(func(Info) error {
			_, err := io.Copy(io.Discard, os.Stdin) // until the test closes it
			return err
		}))
	},
	"own logger": func() error {
		return Serve(roleHandler(), Logger(slog.New(slog.NewJSONHandler(os.Stdout, nil))))
	},
	"boot fails": func() error {
		return Serve(roleHandler(), OnBoot(func(Info) error { return errors.New("no database") }))
	},
	"sockets": func() error {
		s, err := Listeners()
		if err != nil {
			return err
		}
		s.Ready()
		go func() {
			for {
				nc, err := s.Listeners()[0].Accept()
				if err != nil {
					return
				}
				go func() {
					defer nc.Close()
					io.Copy(nc, nc)
				}()
			}
		}()
		return s.Wait()
	},
	"logs": func() error { return serveLogging() },
	"logs unread": func() error {
		_, nobody, err := os.Pipe() // its other end stays open
		if err != nil {
			return err
		}
		os.Stderr = nobody
		return serveLogging()
	},
	"serve twice": func() error {
		result := make(chan error)
		ready := make(chan struct{})
		go func() { result <- Serve(roleHandler(), OnBoot(func(Info) error { close(ready); return nil })) }()
		<-ready
		fmt.Fprintln(os.Stderr, "second:", Serve(roleHandler()))
		_, err := Listeners()
		fmt.Fprintln(os.Stderr, "third:", err)
		return <-result
	},
}

// serveLogging serves an application that logs by LogHandler: before it serves, in handlers, as many records as the query
// says, and at its end.
func serveLogging() error {
	log := slog.New(LogHandler(true, nil))
	log.Info("before", "n", 0)
	return Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.RawQuery)
		for i := range n {
			log.With("path", r.URL.Path).Info("in a handler", "n", i, "text", strings.Repeat("\n", 500))
		}
	}), OnExit(func() { log.Info("after", "n", 0) }), Logger(slog.New(slog.DiscardHandler)))
}

func roleHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/self", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%d %+v", os.Getpid(), Self()) })
	mux.HandleFunc("/print", func(w http.ResponseWriter, _ *http.Request) { _, err := fmt.Println("printed"); fmt.Fprint(w, err) })
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		nc, in, err := http.NewResponseController(w).Hijack() // as a protocol of its own does
		if err != nil {
			return
		}
		defer nc.Close()
		fmt.Fprint(nc, "reading\n")
		text := make([]byte, 5)
		_, _ = io.ReadFull(in, text)
		fmt.Fprintf(nc, "%s\n", text)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		select {}
	})
	mux.HandleFunc("/", hello)
	return mux
}
