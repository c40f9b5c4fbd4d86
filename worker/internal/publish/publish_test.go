package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// master is what a test's publisher sends to.
type master struct {
	sent    []string
	errs    []string
	full    atomic.Bool
	running int // gatherings
}

func start(gather func(n int) ([]byte, error)) (*master, *Publisher) {
	m, n := &master{}, 0
	p := New(Source{Interval: time.Second, Gather: func() ([]byte, error) {
		m.running++
		defer func() { m.running-- }()
		if m.running > 1 {
			panic("two gatherings run side by side")
		}
		n++
		return gather(n)
	}}, 10, func(data []byte) error {
		if m.full.Load() {
			return errors.New("full")
		}
		m.sent = append(m.sent, string(data))
		return nil
	}, func(err error) { m.errs = append(m.errs, err.Error()) })
	go p.Run()
	synctest.Wait()
	return m, p
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble: no time passes
	synctest.Wait()
}

func (m *master) check(t *testing.T, when string, sent, errs []string) {
	t.Helper()
	if !slices.Equal(m.sent, sent) {
		t.Errorf("%s: %q was sent, want %q", when, m.sent, sent)
	}
	if len(m.errs) != len(errs) {
		t.Fatalf("%s: errors %q, want %q", when, m.errs, errs)
	}
	for i := range errs {
		if !strings.Contains(m.errs[i], errs[i]) {
			t.Errorf("%s: error %q, want %q", when, m.errs[i], errs[i])
		}
	}
}

func TestPublish(t *testing.T) {
	for name, tt := range map[string]struct {
		gather func(n int) ([]byte, error)
		after  time.Duration
		sent   []string // until then
		last   []string // all, with the last one
		errs   []string
	}{
		"nothing is registered": {gather: func(int) ([]byte, error) { return nil, nil }, after: 3 * time.Second},
		"nothing changes":       {func(int) ([]byte, error) { return []byte("a"), nil }, 3500 * time.Millisecond, []string{"a"}, []string{"a"}, nil},
		"it changes":            {func(n int) ([]byte, error) { return fmt.Append(nil, n), nil }, 2500 * time.Millisecond, []string{"1", "2", "3"}, []string{"1", "2", "3", "4"}, nil},
		"all goes":              {func(n int) ([]byte, error) { return []byte("ab")[:max(0, 3-n)], nil }, 3500 * time.Millisecond, []string{"ab", "a", ""}, []string{"ab", "a", ""}, nil},
		"errors":                {func(int) ([]byte, error) { return nil, errors.New("no") }, 1500 * time.Millisecond, nil, nil, []string{"no", "no", "no"}},
		"a part of it":          {func(n int) ([]byte, error) { return fmt.Append(nil, n), errors.New("no") }, 500 * time.Millisecond, []string{"1"}, []string{"1", "2"}, []string{"no", "no"}},
		"panics":                {func(n int) ([]byte, error) { panic(n) }, 500 * time.Millisecond, nil, nil, []string{"panicked: 1", "panicked: 2"}},
		"too large": {
			func(n int) ([]byte, error) { return []byte("12345678901")[n-1:], nil }, 1500 * time.Millisecond,
			[]string{"2345678901"},
			[]string{"2345678901", "345678901"},
			[]string{"have 11 bytes, 10 are allowed"},
		},
		"slow": {
			func(n int) ([]byte, error) { time.Sleep(3500 * time.Millisecond); return fmt.Append(nil, n), nil }, 3600 * time.Millisecond,
			[]string{"1"},
			[]string{"1", "2"},
			[]string{"does not return"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, p := start(tt.gather)
				pass(tt.after)
				if !slices.Equal(m.sent, tt.sent) {
					t.Errorf("%q was sent, want %q", m.sent, tt.sent)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				p.Last(ctx)
				m.check(t, "at the end", tt.last, tt.errs)
			})
		})
	}
}

func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		m, p := start(func(n int) ([]byte, error) {
			if n == 2 {
				<-release
			}
			return fmt.Append(nil, n), nil
		})
		pass(time.Minute)
		m.check(t, "while it hangs", []string{"1"}, []string{"does not return"})
		close(release)
		pass(1500 * time.Millisecond)
		m.check(t, "when it goes on", []string{"1", "2", "3"}, []string{"does not return"})
		p.Last(t.Context())
	})
}

// A worker that leaves waits for a collector that hangs no longer than it has time.
func TestLastIsBounded(t *testing.T) {
	for name, from := range map[string]int{"it hangs": 1, "the last one hangs": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				_, p := start(func(n int) ([]byte, error) {
					if n >= from {
						<-release
					}
					return nil, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				p.Last(ctx)
				if took := time.Since(began); took != time.Second {
					t.Errorf("it took %v", took)
				}
				synctest.Wait()
				select {
				case <-p.done:
				default:
					t.Error("Run has not ended")
				}
			})
		})
	}
}

func TestSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := start(func(n int) ([]byte, error) { return fmt.Append(nil, min(n, 2)), nil })
		m.full.Store(true)
		pass(1500 * time.Millisecond)
		m.check(t, "while the channel is full", []string{"1"}, nil)
		m.full.Store(false)
		pass(time.Second)
		m.check(t, "later", []string{"1", "2"}, nil)
		p.Last(t.Context())
	})
}
