// Command jsonapi is an application of its own that runs under cluster: notes kept in memory behind a JSON API, and a page
// that shows which worker answered. It needs nothing of cluster but the package worker.
//
//	go build -o jsonapi ./examples/jsonapi
//	./jsonapi --bind tcp://127.0.0.1:8080     alone, one process
//	cluster start -w 2 -- ./jsonapi           in a cluster, on http://127.0.0.1:9292
//
//	curl -d '{"text":"buy milk"}' http://127.0.0.1:9292/api/notes
//	curl http://127.0.0.1:9292/api/notes
//	curl http://127.0.0.1:9292/api/notes/1
//
// Each worker is a process and has its own memory. A note lives in the worker that took it: another worker does not know
// it, and a restart forgets it. So with two workers the last two commands find the note about every other time. What
// workers share belongs into a database, which OnBoot is the place to open; here this is left to be seen.
package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/prefork/cluster/worker"
)

const (
	maxBody = 64 << 10 // bytes of a request
	maxText = 4 << 10  // bytes of a note
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

func main() {
	store := &notes{}
	log := slog.With("pid", os.Getpid())
	err := worker.Serve(routes(store),
		worker.OnBoot(func(w worker.Info) error {
			log = log.With("slot", w.Slot, "generation", w.Generation)
			log.Info("boot: this is where a database is opened; an error here keeps the old worker")
			return nil
		}),
		worker.OnDrain(func() { log.Info("drain: no new connections, what runs is finished") }),
		worker.OnExit(func() { log.Info("exit: every connection has ended", "notes_lost", store.count()) }),
	)
	if err != nil {
		log.Error("jsonapi ends", "err", err)
		os.Exit(1)
	}
}

func routes(store *notes) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { servePage(w, store) })
	mux.HandleFunc("GET /api/notes", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, store.all()) })
	mux.HandleFunc("POST /api/notes", func(w http.ResponseWriter, r *http.Request) { addNote(w, r, store) })
	mux.HandleFunc("GET /api/notes/{id}", func(w http.ResponseWriter, r *http.Request) { serveNote(w, r, store) })
	return mux
}

func servePage(w http.ResponseWriter, store *notes) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := page.Execute(w, struct {
		worker.Info
		PID   int
		Notes []note
	}{worker.Self(), os.Getpid(), store.all()})
	if err != nil {
		slog.Warn("the page was not sent", "err", err)
	}
}

func addNote(w http.ResponseWriter, r *http.Request, store *notes) {
	var in struct {
		Text string `json:"text"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "the body is not a JSON object such as {\"text\":\"buy milk\"}: "+err.Error())
		return
	}
	text := strings.TrimSpace(in.Text)
	if text == "" || len(text) > maxText {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("a note has 1 to %d bytes of text", maxText))
		return
	}
	n := store.add(text)
	w.Header().Set("Location", "/api/notes/"+strconv.Itoa(n.ID))
	answer(w, http.StatusCreated, n)
}

func serveNote(w http.ResponseWriter, r *http.Request, store *notes) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "the id of a note is a number")
		return
	}
	n, ok := store.get(id)
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Sprintf("the worker in slot %d (pid %d) has no note %d; each worker has its own memory", worker.Self().Slot, os.Getpid(), id))
		return
	}
	answer(w, http.StatusOK, n)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error is a client that has left
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}
