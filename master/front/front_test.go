package front

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What the supervision wants, told as a story: each word happens, or lets time pass, and the answer is what was done since, with the
// state after it.
func TestFront(t *testing.T) {
	const boot, drain = 10 * time.Second, 30 * time.Second
	for _, test := range []struct{ name, story, want string }{
		{"it starts and serves", "next ready", "start starting; ready"},
		{"one that was ready comes back at once", "next ready 1s exit next", "start starting; ready; ready; waiting; start starting"},
		{
			"one that dies again and again waits longer and longer",
			"next ready exit next ready exit next 99ms 1ms ready exit 199ms 1ms",
			"start starting; ready; waiting; start starting; ready; waiting; waiting; waiting; start starting; ready; waiting; waiting; start starting",
		},
		{"ten seconds make up for it", "next ready exit next ready 10s exit next", "start starting; ready; waiting; start starting; ready; ready; waiting; start starting"},
		{"less do not", "next ready exit next ready 9s exit next", "start starting; ready; waiting; start starting; ready; ready; waiting; waiting"},
		{"one that is not ready in time is killed", "next 9s 1s next exit next", "start starting; starting; kill killed; killed; waiting; start starting"},
		{"one that cannot be started is tried again", "fail fail 100ms", "waiting; waiting; start starting"},
		{"it is told to leave, once", "next ready stop next next exit next", "start starting; ready; terminate draining; draining; draining; gone; gone"},
		{"one that boots is told to leave, too", "next stop ready exit", "start starting; terminate draining; draining; gone"},
		{"one that does not leave is killed, once", "next ready stop 31s 1s next exit", "start starting; ready; terminate draining; draining; kill killed; killed; gone"},
		{"none is started for a cluster that stops", "stop next", "gone; gone"},
		{"none is started after a death while it stops", "next ready exit stop next", "start starting; ready; waiting; gone; gone"},
		{"forced", "next ready force force exit next", "start starting; ready; kill killed; killed; gone; gone"},
		{"forced while it leaves", "next ready stop force exit", "start starting; ready; terminate draining; kill killed; gone"},
		{"another process ends", "next other ready", "start starting; starting; ready"},
		{"a late word of one that has died", "next exit next late", "start starting; waiting; start starting; starting"},
	} {
		f, now, pid := &Front{}, time.Unix(1000, 0), 0
		var got []string
		for word := range strings.FieldsSeq(test.story) {
			var did []string
			do := map[Do]string{Start: "start", Terminate: "terminate", Kill: "kill"}
			next := func() {
				what, wake := f.Next(now, boot, drain)
				if name := do[what]; name != "" {
					did = append(did, name)
				}
				if what == Start {
					pid++
					f.Started(pid, now)
				}
				if !wake.IsZero() && !wake.After(now) {
					t.Errorf("%s: after %q it is to be asked again at once", test.name, word)
				}
			}
			switch word {
			case "next":
				next()
			case "ready":
				f.Ready(pid, now)
			case "late":
				f.Ready(pid-1, now)
			case "exit":
				if !f.Exited(pid, now) {
					t.Errorf("%s: the front has ended and it is not said", test.name)
				}
			case "other":
				if f.Exited(pid+1, now) {
					t.Errorf("%s: the end of another process is taken for the front's", test.name)
				}
			case "fail":
				f.Failed(now)
			case "stop":
				f.Stop()
				next()
			case "force":
				if name := do[f.Force(now)]; name != "" {
					did = append(did, name)
				}
			default:
				d, err := time.ParseDuration(word)
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(d)
				next()
			}
			got = append(got, strings.Join(append(did, f.State.String()), " "))
		}
		if text := strings.Join(got, "; "); text != test.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", test.name, test.story, text, test.want)
		}
	}
}

func TestHopeless(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, test := range []struct {
		deaths int
		proven bool
		want   bool
	}{{0, false, false}, {bootAttempts - 1, false, false}, {bootAttempts, false, true}, {bootAttempts, true, false}} {
		f := &Front{}
		if test.proven {
			f.Started(1, now)
			f.Ready(1, now)
			f.Exited(1, now.Add(healthyAfter))
		}
		for i := range test.deaths {
			f.Started(i, now)
			f.PID = 1 + i
			f.Exited(1+i, now)
		}
		if got := f.Hopeless(); got != test.want {
			t.Errorf("after %d deaths, proven %v: hopeless %v", test.deaths, test.proven, got)
		}
	}
}

// A cluster without a front waits for none.
func TestNoFront(t *testing.T) {
	var f *Front
	f.Stop()
	do, wake := f.Next(time.Now(), 0, 0)
	got := fmt.Sprint(f.Serves(), f.Gone(), f.Hopeless(), f.Exited(0, time.Now()), f.Force(time.Now()), do, wake.IsZero())
	if got != "true true false false 0 0 true" {
		t.Error(got)
	}
}
