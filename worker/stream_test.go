package worker

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// Streams whose client does not read hold no thread, as long as their answers fit into the buffer, and arrive whole.
func TestUnreadStreamsHoldNoThread(t *testing.T) {
	t.Parallel()
	data := pattern(60 << 10)
	for _, protocol := range []string{"https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w, base, c := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					for at := 0; at < len(data); at += 1 << 10 {
						w.Write(data[at : at+1<<10])
					}
					return
				}
				hello(w, r)
			}), buffered)
			c.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 4 << 10, MaxReceiveBufferPerConnection: 1 << 20}
			var unread []*http.Response
			for range 10 { // more than there are threads
				r, err := c.Get(base)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				unread = append(unread, r)
			}
			eventually(t, "the threads to be free", func() bool { return w.board.Busy(0) == 0 })
			if status, _, body, err := fetch(c, base+"/other"); status != http.StatusOK || body != "hello" {
				t.Errorf("another stream: %d %q, %v", status, body, err)
			}
			for _, r := range unread {
				all, err := io.ReadAll(r.Body)
				if err != nil {
					t.Fatal(err)
				}
				wantSame(t, all, data)
			}
			want(t, "connections", w.Row.Accepted.Load(), 1)
		})
	}
}

// A stream whose client takes nothing of what does not fit is ended: the thread is not lost to it, and other streams live on.
func TestUnreadStreamEnds(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			failed := make(chan error, 1)
			w, base, c := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					_, err := w.Write(make([]byte, 4*bufferSize))
					failed <- err
					return
				}
				hello(w, r)
			}), buffered, func(s *setup) { s.config.WriteTimeout = 300 * time.Millisecond })
			c.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 4 << 10}
			started := time.Now()
			r, err := c.Get(base)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if err := await(t, "the write to fail", failed); err == nil {
				t.Error("the write did not fail")
			}
			if took := time.Since(started); took < 300*time.Millisecond || took > patience/2 { // then the client would leave
				t.Errorf("ended after %v", took)
			}
			eventually(t, "the threads to be free", func() bool { return w.board.Busy(0) == 0 })
			if status, _, _, err := fetch(c, base+"/other"); status != http.StatusOK {
				t.Errorf("another stream: %d, %v", status, err)
			}
		})
	}
}
