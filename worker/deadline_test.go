package worker

import (
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// admitted is a connection under the wrapper without an engine and without a pulse, and the client's end of it.
func admitted(t *testing.T, change ...func(*setup)) (*conn, *spy, *client) {
	t.Helper()
	s := &setup{config: testConfig()}
	for _, f := range change {
		f(s)
	}
	l := listenSpying(t)
	m := newTestMember(s.config, l)
	peer := dial(t, l.Addr().String())
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := m.admit(nc, 0)
	t.Cleanup(func() { c.Close() })
	return c, nc.(*spy), peer
}

// reading is what a Read has brought.
type reading struct {
	text string
	err  error
}

// read starts a Read, and returns when it is about to wait.
func (c *conn) read(t *testing.T) <-chan reading {
	t.Helper()
	s := c.Conn.(*spy)
	before := s.readCount()
	got := make(chan reading, 1)
	go func() {
		p := make([]byte, headBuffer)
		n, err := c.Read(p)
		got <- reading{string(p[:n]), err}
	}()
	eventually(t, "a read", func() bool { return s.readCount() > before })
	return got
}

func (s *spy) readCount() (n int) {
	s.note(func() { n = len(s.reads) })
	return n
}

func (s *spy) deadlines() (set []time.Time) {
	s.note(func() { set, s.readDeadlines = s.readDeadlines, nil })
	return set
}

func TestNearDeadlineIsExact(t *testing.T) {
	c, s, _ := admitted(t)
	near := time.Now().Add(50 * time.Millisecond)
	c.SetReadDeadline(near)
	if set := s.deadlines(); len(set) != 1 || !set[0].Equal(near) {
		t.Fatalf("the runtime was given %v, want %v", set, near)
	}
	got := await(t, "the deadline", c.read(t))
	if !errors.Is(got.err, os.ErrDeadlineExceeded) || time.Now().Before(near) {
		t.Errorf("%v, %v before the deadline", got.err, time.Until(near))
	}
	c.SetReadDeadline(time.Time{})
	if set := s.deadlines(); len(set) != 1 || !set[0].IsZero() {
		t.Errorf("when it was cleared the runtime was given %v", set)
	}
}

// Deadlines of seconds cost no runtime timer.
func TestFarDeadlineIsOnlyStored(t *testing.T) {
	c, s, _ := admitted(t)
	for range 3 {
		c.SetReadDeadline(time.Now().Add(lazyAfter + pulseInterval))
		c.SetReadDeadline(time.Time{})
		c.SetWriteDeadline(time.Time{})
	}
	far := time.Now().Add(time.Hour)
	c.SetReadDeadline(far)
	if set := s.deadlines(); len(set) != 0 || len(s.writeDeadlines) != 0 {
		t.Errorf("the runtime was given %v and %v", set, s.writeDeadlines)
	}
	got := c.read(t)
	c.look(c.m.Clock.At(far) - 1)
	want(t, "reads that ended before the deadline", len(got), 0)
	want(t, "kicked", c.applied.Load(), false)
	c.readDeadline.Store(c.m.Clock.Now()) // as if an hour had passed
	c.look(c.m.Clock.Now())
	if r := await(t, "the deadline", got); !errors.Is(r.err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %+v", r)
	}
}

// net/http takes a deadline that is further away than a clock can count for one that never comes, and so does this.
func TestDeadlineAtTheEndOfTime(t *testing.T) {
	c, _, peer := admitted(t)
	for _, end := range []time.Time{time.Now().Add(math.MaxInt64), time.Unix(1<<40, 0), time.Now().AddDate(300, 0, 0)} {
		if err := c.SetReadDeadline(end); err != nil {
			t.Error(err)
		}
		got := c.read(t)
		c.look(c.m.Clock.Now())
		peer.send("x")
		want(t, "read until "+end.String(), await(t, "the read", got).text, "x")
	}
	if err := c.SetReadDeadline(longAgo); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a deadline in the past: %v", err)
	}
}

// A kick makes a Read look again: if its deadline was moved meanwhile it goes on, and sees nothing of it.
func TestKickedReadGoesOn(t *testing.T) {
	c, _, peer := admitted(t)
	c.SetReadDeadline(time.Now().Add(time.Hour))
	got := c.read(t)
	for range 3 {
		before := c.Conn.(*spy).readCount()
		c.kick()
		eventually(t, "the read to be done again", func() bool { return c.Conn.(*spy).readCount() > before })
	}
	c.SetReadDeadline(time.Time{})
	c.kick()
	peer.send("hello")
	r := await(t, "the bytes", got)
	want(t, "read", r.text, "hello")
	want(t, "error", r.err, nil)
}

// A kick must not make a near deadline an approximate one.
func TestNearDeadlineSurvivesAKick(t *testing.T) {
	c, _, _ := admitted(t) // without a pulse, which would end the read some time later
	near := time.Now().Add(100 * time.Millisecond)
	c.SetReadDeadline(near)
	got := c.read(t)
	c.kick()
	if r := await(t, "the deadline", got); !errors.Is(r.err, os.ErrDeadlineExceeded) || time.Now().Before(near) {
		t.Errorf("%+v, %v before the deadline", r, time.Until(near))
	}
}

// Kicks and changes of the deadline at once: every byte arrives, and no deadline that was taken back is seen.
func TestKicksAgainstDeadlines(t *testing.T) {
	c, _, peer := admitted(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.kick()
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.SetReadDeadline(time.Now().Add(time.Minute))
				c.SetReadDeadline(time.Now().Add(lazyAfter / 2)) // real, but never reached
				c.SetReadDeadline(time.Time{})
			}
		}
	})
	p := make([]byte, 1)
	for i := range 300 {
		if _, err := peer.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(p); n != 1 || err != nil || p[0] != byte(i) {
			t.Fatalf("read %d: %d bytes %d, %v", i, n, p, err)
		}
	}
	close(stop)
	wg.Wait()
}

// Who has hijacked a connection has its deadlines to himself.
func TestReleasedConnectionIsLeftAlone(t *testing.T) {
	c, s, peer := admitted(t)
	c.SetReadDeadline(time.Now().Add(time.Hour))
	c.kick()
	c.Release()
	if set := s.deadlines(); !set[len(set)-1].IsZero() {
		t.Errorf("the kick before was not taken back: %v", set)
	}
	c.m.Draining.Store(true)
	c.readDeadline.Store(1)
	c.writeSince.Store(1)
	c.kick() // one that was on its way
	c.look(c.m.Clock.Now())
	if set := s.deadlines(); len(set) != 0 || len(s.writeDeadlines) != 0 {
		t.Errorf("the runtime was given %v and %v", set, s.writeDeadlines)
	}
	peer.send("still here")
	want(t, "read", await(t, "the bytes", c.read(t)).text, "still here")

	text := strings.NewReader("to be copied")
	if n, err := c.ReadFrom(text); n != text.Size() || err != nil || s.copies[0] != io.Reader(text) {
		t.Errorf("copied %d bytes from %T, %v; want it to be handed through", n, s.copies[0], err)
	}

	far := time.Now().Add(time.Hour) // real from now on
	if err := c.SetDeadline(far); err != nil {
		t.Error(err)
	}
	if set := s.deadlines(); len(set) != 1 || !set[0].Equal(far) || !s.writeDeadlines[0].Equal(far) {
		t.Errorf("the runtime was given %v and %v, want %v", set, s.writeDeadlines, far)
	}
}
