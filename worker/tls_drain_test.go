package worker

import (
	"net/http"
	"testing"
	"time"
)

// The end of drain-idle holds where the wrapper sees no request, and so does the last answer.
func TestVeiledDrain(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		g := newGate()
		w, base, c := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/running" {
				g.ServeHTTP(w, r)
				return
			}
			hello(w, r)
		}))
		running := make(chan string, 1)
		go func() {
			_, _, body, err := fetch(c, base+"/running")
			if err != nil {
				body = err.Error()
			}
			running <- body
		}()
		await(t, "the handler", g.entered)
		silent := *c
		silent.Transport = c.Transport.(*http.Transport).Clone()
		if status, _, _, err := fetch(&silent, base+"/"); status != http.StatusOK {
			t.Fatalf("%d, %v", status, err)
		}
		talks := *c
		talks.Transport = c.Transport.(*http.Transport).Clone()
		if status, _, _, err := fetch(&talks, base+"/"); status != http.StatusOK {
			t.Fatalf("%d, %v", status, err)
		}
		want(t, "open", w.openConnections(), 3)

		w.drain(t, order{})
		if status, _, body, err := fetch(&talks, base+"/"); status != http.StatusOK || body != "hello" {
			t.Errorf("answer while draining: %d %q, %v", status, body, err)
		}
		eventually(t, "the connection that has spoken to be closed", func() bool { return w.openConnections() == 2 })
		eventually(t, "the silent connection to be closed", func() bool {
			w.age(time.Hour)
			return w.openConnections() == 1
		})
		w.age(time.Hour)
		want(t, "open", w.openConnections(), 1) // something runs on it
		close(g.leave)
		want(t, "body", await(t, "the answer", running), "/running")
		eventually(t, "its connection, silent since, to be closed", func() bool {
			w.age(time.Hour)
			return w.openConnections() == 0
		})
		w.wantResult(t)
	})
}
