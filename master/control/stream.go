package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prefork/cluster/master/api"
)

// streamInterval is how often a stream shows the status.
const streamInterval = time.Second

// live makes the status once a second for all streams together, and only while there are any.
type live struct {
	status func() api.Status

	mu      sync.Mutex
	streams int
	runs    bool
	latest  []byte        // as a server-sent event; nil: the first one is not made yet
	next    chan struct{} // closed when there is another one
}

// join begins to take part; leave ends it.
func (l *live) join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams++
	if !l.runs {
		l.runs, l.latest, l.next = true, nil, make(chan struct{})
		go l.run()
	}
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
}

func (l *live) run() {
	tick := time.NewTicker(streamInterval)
	defer tick.Stop()
	for l.publish() {
		<-tick.C
	}
}

// publish makes the status anew; false: nobody wants it any more.
func (l *live) publish() bool {
	l.mu.Lock()
	if l.streams == 0 {
		l.runs = false
		l.mu.Unlock()
		return false
	}
	l.mu.Unlock()
	text, err := sentEvent("status", "", l.status())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.latest = text
	}
	close(l.next)
	l.next = make(chan struct{})
	return true
}

// now is the latest status, and what is closed when there is another one.
func (l *live) now() (latest []byte, next <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest, l.next
}

// sentEvent is one server-sent event (HTML Living Standard, 9.2). JSON has no line end in it, so it is one line of data.
func sentEvent(name, id string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + name + "\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes(), nil
}

// stream answers with server-sent events: the status each second, and each event of the journal as it happens. The header
// Last-Event-ID, which a browser sends when it connects anew, counts for more than the query.
func (a *API) stream(w http.ResponseWriter, r *http.Request) {
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.URL.Query().Get("since")
	}
	since, err := a.since(from)
	if err != nil {
		a.refuse(w, err)
		return
	}
	ctx, cancel := a.while(r)
	defer cancel()
	events := make(chan []byte)
	go a.sendEvents(ctx, r, since, events)
	a.live.join()
	defer a.live.leave()
	l := a.lines(w, "text/event-stream")
	var shown []byte
	for {
		latest, next := a.live.now()
		if len(latest) > 0 && (len(shown) == 0 || &latest[0] != &shown[0]) {
			if l.write(latest) != nil {
				return
			}
			shown = latest
			continue
		}
		select {
		case <-next:
		case text := <-events:
			if l.write(text) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// sendEvents hands on the events of the journal until the context ends.
func (a *API) sendEvents(ctx context.Context, r *http.Request, since uint64, to chan<- []byte) {
	for e := range a.happened(r.WithContext(ctx), since, true) {
		text, err := sentEvent("event", idOf(e), e)
		if err != nil {
			continue // a field that cannot be written
		}
		select {
		case to <- text:
		case <-ctx.Done():
			return
		}
	}
}

// while is the context of a request that also ends with the cluster.
func (a *API) while(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		select {
		case <-a.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
