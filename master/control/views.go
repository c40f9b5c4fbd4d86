package control

import (
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prefork/cluster/ipc/profile"
	"github.com/prefork/cluster/master/journal"
)

func (a *API) status(w http.ResponseWriter, _ *http.Request) {
	a.answer(w, http.StatusOK, a.cluster.Status())
}

func (a *API) version(w http.ResponseWriter, _ *http.Request) {
	a.answer(w, http.StatusOK, map[string]string{"version": a.cluster.Status().Version})
}

func (a *API) stacks(w http.ResponseWriter, r *http.Request) {
	dumps, err := a.cluster.Stacks(r.Context())
	a.reply(w, dumps, err)
}

func (a *API) profile(w http.ResponseWriter, r *http.Request) {
	slot, kind, length, err := profileOf(r)
	if err != nil {
		a.refuse(w, err)
		return
	}
	data, err := a.cluster.Profile(r.Context(), slot, kind, length)
	if err != nil {
		a.refuse(w, err)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.writePatience))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

// Master is the slot of Cluster.Profile that stands for the master itself.
const Master = -1

func profileOf(r *http.Request) (slot int, kind string, length time.Duration, err error) {
	query := r.URL.Query()
	switch text := query.Get("slot"); text {
	case "":
		return 0, "", 0, invalid("give slot, the number of a worker, or master")
	case "master":
		slot = Master
	default:
		if slot, err = strconv.Atoi(text); err != nil || slot < 0 {
			return 0, "", 0, invalid("slot %.50q: give the number of a worker, or master", text)
		}
	}
	if kind = query.Get("kind"); kind == "" {
		kind = profile.CPU
	}
	if !slices.Contains(profile.Kinds, kind) {
		return 0, "", 0, invalid("kind %.50q: give cpu, heap or goroutine", kind)
	}
	text := query.Get("seconds")
	switch {
	case kind != profile.CPU && text != "":
		return 0, "", 0, invalid("seconds %.50q: a %s profile is of a moment; only one of kind cpu takes time", text, kind)
	case kind != profile.CPU:
		return slot, kind, 0, nil
	case text == "":
		return slot, kind, profile.DefaultLength, nil
	}
	seconds, err := strconv.Atoi(text)
	if most := int(profile.MaxLength / time.Second); err != nil || seconds < 1 || seconds > most {
		return 0, "", 0, invalid("seconds %.50q: give 1 to %d", text, most)
	}
	return slot, kind, time.Duration(seconds) * time.Second, nil
}

// events answers with one event a line: those that are kept, after the ID since, and then, with follow, each new one.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	since, err := a.since(query.Get("since"))
	follow := query.Get("follow")
	if err == nil && !slices.Contains([]string{"", "true", "false"}, follow) {
		err = invalid("follow %.50q: give true or false", follow)
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	l := a.lines(w, "application/x-ndjson")
	for e := range a.happened(r, since, follow == "true") {
		if l.json(e) != nil {
			return
		}
	}
}

// since reads the ID after which events are wanted. One that this master has not reached is of another master: then all
// events are new.
func (a *API) since(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, invalid("since %.50q: give the id of an event", text)
	}
	if a.journal != nil && id > 0 && len(a.journal.Since(id-1)) == 0 {
		return 0, nil
	}
	return id, nil
}

// happened yields events until there is none left or, if they are followed, until the client or the cluster has gone.
func (a *API) happened(r *http.Request, since uint64, follow bool) iter.Seq[journal.Event] {
	return func(yield func(journal.Event) bool) {
		if !follow {
			if a.journal == nil {
				return
			}
			for _, e := range a.journal.Since(since) {
				if !yield(e) {
					return
				}
			}
			return
		}
		ctx, cancel := a.while(r)
		defer cancel()
		if a.journal == nil {
			<-ctx.Done()
			return
		}
		a.journal.Follow(ctx, since)(yield)
	}
}

func idOf(e journal.Event) string { return strconv.FormatUint(e.ID, 10) }
