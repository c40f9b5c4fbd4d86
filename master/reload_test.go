package master

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// reload has the configuration read anew; wanted says what is in the file then.
func (w *world) reload(wanted func() (configs.Config, error)) *api.Reload {
	w.Helper()
	w.loop.reloading.load = wanted
	reply := make(chan *api.Reload, 1)
	w.loop.events <- reloadRequest{reply: reply}
	return <-reply
}

func changed(w *world, change func(*configs.Config)) func() (configs.Config, error) {
	c := w.loop.state.Config
	change(&c)
	return func() (configs.Config, error) { return c, nil }
}

func TestReload(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(2 * time.Second)
		if r := w.reload(changed(w, func(*configs.Config) {})); r.Outcome != api.ReloadUnchanged || !r.Empty() {
			t.Errorf("nothing changed: %+v", r)
		}
		w.pass(10 * time.Second)
		w.expect("1 1 1") // nothing restarts

		r := w.reload(changed(w, func(c *configs.Config) { c.Workers, c.Threads, c.Settle = 4, 5, 2*time.Second }))
		if fmt.Sprintf("%v %v %v %v", r.Outcome, r.Live, r.Restart, r.Kept) != "done [workers threads settle] [] []" {
			t.Errorf("live settings: %+v", r)
		}
		w.pass(2 * time.Second)
		w.expect("1 1 1 1")
		if s := w.snapshot(); s.Threads != 5 || s.Reload != r {
			t.Errorf("%d threads in the snapshot, reload %+v", s.Threads, s.Reload)
		}
		w.fake.mu.Lock()
		told := 0
		for _, m := range w.fake.sent {
			if m.Type == ipc.Configure && m.Limits.Threads == 5 {
				told++
			}
		}
		w.fake.mu.Unlock()
		if told != 3 {
			t.Errorf("%d workers were told the new limits, want the 3 that ran", told)
		}

		r = w.reload(changed(w, func(c *configs.Config) { c.Pool, c.Metrics = "queue", "127.0.0.1:1" }))
		if fmt.Sprintf("%v %v %v %v %v", r.Outcome, r.Live, r.Restart, r.Kept, r.Generation) != "partly [] [pool] [metrics] 2" {
			t.Errorf("settings of the workers: %+v", r)
		}
		w.pass(20 * time.Second)
		w.expect("2 2 2 2")
		if r := w.reload(changed(w, func(*configs.Config) {})); r.Outcome != api.ReloadUnchanged {
			t.Errorf("what was kept was forgotten: %+v", r)
		}
	})
}

func TestReloadRefused(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(2 * time.Second)
		before := w.loop.state.Config
		bad := func() (configs.Config, error) {
			return configs.Config{}, errors.Join(errors.New("cluster.yaml:3:1: no"), errors.New("cluster.yaml:9:1: nor this"))
		}
		if r := w.reload(bad); r.Outcome != api.ReloadRefused || len(r.Errors) != 2 || r.Errors[1] != "cluster.yaml:9:1: nor this" {
			t.Errorf("a bad file: %+v", r)
		}
		// A program that is not there is found when the generation is made: nothing else of the file counts either.
		w.fake.mu.Lock()
		w.fake.bad = errors.New("program ./app does not exist")
		w.fake.mu.Unlock()
		r := w.reload(changed(w, func(c *configs.Config) { c.Program, c.Workers = []string{"./app"}, 5 }))
		if r.Outcome != api.ReloadRefused || !strings.Contains(fmt.Sprint(r.Errors), "does not exist") {
			t.Errorf("a missing program: %+v", r)
		}
		w.pass(10 * time.Second)
		w.expect("1 1 1")
		if fmt.Sprint(w.loop.state.Config) != fmt.Sprint(before) {
			t.Errorf("the configuration changed to %+v", w.loop.state.Config)
		}
	})
}

// An operator's scaling stays where the file says nothing new about it.
func TestReloadLeavesScalingAlone(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(2 * time.Second)
		reply := make(chan scaleReply, 1)
		w.loop.events <- scaleRequest{to: 5, reply: reply}
		<-reply
		w.reload(changed(w, func(c *configs.Config) { c.Surge = 3 }))
		w.pass(5 * time.Second)
		w.expect("1 1 1 1 1")
	})
}

// One that is asked for while another runs sees what was written before it was asked for.
func TestReloadDuringReload(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(2 * time.Second)
		slow := make(chan configs.Config)
		w.loop.reloading.load = func() (configs.Config, error) { return <-slow, nil }
		first, second, third := make(chan *api.Reload, 1), make(chan *api.Reload, 1), make(chan *api.Reload, 1)
		c := w.loop.state.Config
		w.loop.events <- reloadRequest{reply: first}
		w.pass(time.Millisecond)
		w.loop.events <- reloadRequest{reply: second}
		w.loop.events <- reloadRequest{reply: third}
		slow <- c
		if r := <-first; r.Outcome != api.ReloadUnchanged {
			t.Errorf("the first: %+v", r)
		}
		c.Workers = 4
		slow <- c
		for _, reply := range []chan *api.Reload{second, third} {
			if r := <-reply; r.Outcome != api.ReloadDone {
				t.Errorf("one of the others: %+v", r)
			}
		}
		w.pass(2 * time.Second)
		w.expect("1 1 1 1")
	})
}

// The settings count during a restart, too, and a stop is not disturbed.
func TestReloadWhileStopping(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.DrainTimeout = time.Minute }, nil, func(w *world) {
		w.pass(2 * time.Second)
		w.loop.events <- stopRequest{reply: make(chan api.Stopping, 1)}
		w.loop.reloading.load = changed(w, func(c *configs.Config) { c.Pool = "queue" })
		w.loop.events <- reloadRequest{reply: make(chan *api.Reload, 1)}
		w.pass(time.Minute)
		if len(w.code) != 1 {
			t.Error("the cluster has not stopped")
		}
		w.code <- <-w.code
		if g := w.snapshot().Generation; g != 1 {
			t.Errorf("generation %d was begun", g)
		}
	})
}

// If the workers that were to see the new settings are not good, the settings go back with them, and can be tried again.
func TestReloadTakenBack(t *testing.T) {
	inWorld(t, nil, map[int]behaviour{2: {exitAfter: time.Millisecond, bootTime: time.Second}}, func(w *world) {
		w.pass(10 * time.Second)
		wanted := changed(w, func(c *configs.Config) { c.Pool, c.Threads = "queue", 5 })
		if r := w.reload(wanted); r.Outcome != api.ReloadDone || r.Generation != 2 {
			t.Errorf("the reload: %+v", r)
		}
		w.pass(10 * time.Second)
		w.expect("1 1 1")
		if r := w.snapshot().Reload; r.Outcome != api.ReloadTakenBack {
			t.Errorf("in the end: %+v", r)
		}
		if c := w.loop.state.Config; c.Pool != "lease" || c.Threads != 5 {
			t.Errorf("pool %s and %d threads", c.Pool, c.Threads)
		}
		if r := w.reload(wanted); r.Outcome != api.ReloadDone || r.Generation != 3 || fmt.Sprint(r.Restart) != "[pool]" {
			t.Errorf("once more: %+v", r)
		}
		w.pass(20 * time.Second)
		w.expect("3 3 3")
		if c := w.loop.state.Config; c.Pool != "queue" || w.snapshot().Reload.Outcome != api.ReloadDone {
			t.Errorf("pool %s, %+v", c.Pool, w.snapshot().Reload)
		}
	})
}

// A restart that fails later has nothing to do with settings that have proved good.
func TestReloadStays(t *testing.T) {
	inWorld(t, nil, map[int]behaviour{3: {exitAfter: time.Millisecond, bootTime: time.Second}}, func(w *world) {
		w.pass(10 * time.Second)
		w.reload(changed(w, func(c *configs.Config) { c.Pool = "queue" }))
		w.pass(30 * time.Second)
		w.expect("2 2 2")
		w.restart()
		w.pass(20 * time.Second)
		w.expect("2 2 2")
		if c := w.loop.state.Config; c.Pool != "queue" || w.snapshot().Reload.Outcome != api.ReloadDone {
			t.Errorf("pool %s, %+v", c.Pool, w.snapshot().Reload)
		}
	})
}

// A second signal at once is the same wish, a later one is another.
func TestSecondSignal(t *testing.T) {
	inWorld(t, nil, map[int]behaviour{1: {deaf: true}}, func(w *world) {
		w.pass(2 * time.Second)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(sameWish - time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(time.Millisecond)
		if n := len(w.fake.signals); n != 0 {
			t.Errorf("workers were signalled at once: %q", w.fake.signals)
		}
		w.loop.events <- signalEvent{syscall.SIGINT}
		code := <-w.code
		if w.code <- code; code != plan.ExitForced {
			t.Errorf("exit code %d", code)
		}
	})
}
