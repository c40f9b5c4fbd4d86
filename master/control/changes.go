package control

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prefork/cluster/master/api"
)

func (a *API) scale(w http.ResponseWriter, r *http.Request) {
	var body api.ScaleRequest
	err := a.body(w, r, &body)
	if err == nil && (body.To == 0) == (body.By == 0) {
		err = invalid("give to, the number of workers, or by, a change of it such as 1 or -1; one of them, and not 0")
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	workers, err := a.cluster.Scale(r.Context(), body.To, body.By)
	a.reply(w, api.ScaleAnswer{Workers: workers}, err)
}

func (a *API) threads(w http.ResponseWriter, r *http.Request) {
	var body api.ThreadsRequest
	err := a.body(w, r, &body)
	if err == nil && body.To < 1 {
		err = invalid("give to, the number of threads of each worker, at least 1")
	}
	if err == nil {
		err = a.cluster.SetThreads(r.Context(), body.To)
	}
	a.reply(w, api.ThreadsAnswer{Threads: body.To}, err)
}

var levels = []string{"debug", "info", "warn", "error"}

func (a *API) logLevel(w http.ResponseWriter, r *http.Request) {
	var body api.LogLevelRequest
	err := a.body(w, r, &body)
	if err == nil && !slices.Contains(levels, body.Level) {
		err = invalid("level %.50q: give debug, info, warn or error", body.Level)
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(body.Level)) // it is one of them
	before, err := a.cluster.SetLogLevel(r.Context(), level)
	a.reply(w, api.LogLevelAnswer{Level: body.Level, Before: strings.ToLower(before.String())}, err)
}

func (a *API) reload(w http.ResponseWriter, r *http.Request) {
	if err := a.body(w, r, &struct{}{}); err != nil {
		a.refuse(w, err)
		return
	}
	got, err := a.cluster.Reload(r.Context())
	a.reply(w, got, err)
}

func (a *API) reopenLogs(w http.ResponseWriter, r *http.Request) {
	err := a.body(w, r, &struct{}{})
	if err == nil {
		err = a.cluster.ReopenLogs(r.Context())
	}
	a.reply(w, struct{}{}, err)
}

func (a *API) stop(w http.ResponseWriter, r *http.Request) {
	var body api.StopRequest
	err := a.body(w, r, &body)
	var begun api.Stopping
	if err == nil {
		begun, err = a.cluster.Stop(r.Context(), body.Now)
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	a.answer(w, http.StatusAccepted, begun)
}

func (a *API) restart(w http.ResponseWriter, r *http.Request) {
	var body api.RestartRequest
	err := a.body(w, r, &body)
	if err == nil && !slices.Contains([]string{"", "ready", "drained"}, body.Wait) {
		err = invalid("wait %.50q: give ready or drained", body.Wait)
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	if body.Slot != nil {
		a.renew(w, r, *body.Slot, body.Wait)
		return
	}
	generation, err := a.cluster.Restart(r.Context())
	if err != nil {
		a.refuse(w, err)
		return
	}
	l := a.lines(w, "application/x-ndjson")
	for p := range a.cluster.Progress(r.Context(), generation, body.Wait) {
		if l.json(p) != nil {
			return
		}
	}
}

func (a *API) renew(w http.ResponseWriter, r *http.Request, slot int, wait string) {
	number, err := a.cluster.Renew(r.Context(), slot)
	if err != nil {
		a.refuse(w, err)
		return
	}
	l := a.lines(w, "application/x-ndjson")
	for p := range a.cluster.Renewing(r.Context(), number, wait) {
		if l.json(p) != nil {
			return
		}
	}
}

// lines is an answer that is written bit by bit. Each write may take writePatience: a client that does not read is left then.
type lines struct {
	w        http.ResponseWriter
	out      *http.ResponseController
	patience time.Duration
}

func (a *API) lines(w http.ResponseWriter, contentType string) *lines {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	l := &lines{w: w, out: http.NewResponseController(w), patience: a.writePatience}
	_ = l.out.Flush() // the client learns that it is served
	return l
}

func (l *lines) write(text []byte) error {
	_ = l.out.SetWriteDeadline(time.Now().Add(l.patience))
	if _, err := l.w.Write(text); err != nil {
		return err
	}
	return l.out.Flush()
}

func (l *lines) json(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.write(append(text, '\n'))
}
