//go:build linux

package master

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/application"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/logs"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

// bound is a master that has bound its addresses and opened so many slots, and what it has logged.
func bound(t *testing.T, slots int, change func(*configs.Config), binds ...string) (*Master, string) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", socketDir(t))
	if err := control.PrivateDir(control.RuntimeDir()); err != nil {
		t.Fatal(err)
	}
	c := configs.Default()
	c.Binds = nil
	for _, text := range binds {
		b, err := configs.ParseBind(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Binds = append(c.Binds, b)
	}
	change(&c)
	var log bytes.Buffer
	m := &Master{config: c, output: &logs.Output{}, loop: &loop{}, machine: &machine{application: application.New(slog.New(slog.DiscardHandler))}, memory: metrics.NewSampler(func() []int { return nil })}
	m.rates = rates.NewSampler(nil, scoreboard.NewClock(), func() []rates.Process { return nil })
	t.Cleanup(func() {
		for i := len(m.cleanups) - 1; i >= 0; i-- {
			m.cleanups[i]()
		}
	})
	if err := m.bind(slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if err := m.sockets.OpenSlot(slots - 1); err != nil {
		t.Fatal(err)
	}
	m.loop.snapshot.Store(&Snapshot{Slots: slots})
	m.clock = scoreboard.NewClock()
	return m, log.String()
}

// The settings of listeners reach them, and what is shared is shown once.
func TestBindSettings(t *testing.T) {
	for _, test := range []struct {
		dispatch string
		tcpSlots []string // of the TCP bind's backlogs
	}{
		{"reuseport", []string{"0", "1"}},
		{"shared", []string{"all"}},
	} {
		path := filepath.Join(socketDir(t), "sock")
		m, log := bound(t, 2, func(c *configs.Config) { c.Dispatch, c.Backlog = test.dispatch, 9 }, "127.0.0.1:0?proxy=on", "unix://"+path+"?mode=0600")
		tcp := m.binds[0].Plain()
		if log != "" {
			t.Errorf("%s: it logs %s", test.dispatch, log)
		}
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()

		var want []api.Backlog
		for _, slot := range test.tcpSlots {
			want = append(want, api.Backlog{Bind: tcp, Slot: slot, Limit: 9})
		}
		want = append(want, api.Backlog{Bind: "unix://" + path, Slot: "all", Waiting: 1, Limit: 9})
		s := m.Status()
		if len(s.Backlogs) != len(want) {
			t.Fatalf("%s: backlogs %v, want %v", test.dispatch, s.Backlogs, want)
		}
		for i, b := range s.Backlogs {
			if b != want[i] {
				t.Errorf("%s: backlog %+v, want %+v", test.dispatch, b, want[i])
			}
		}
		if strings.Join(s.Binds, " ") != tcp+" unix://"+path {
			t.Errorf("%s: status has the binds %q", test.dispatch, s.Binds)
		}
		v := m.View()
		if v.Binds[0] != (metrics.Bind{Name: tcp, Shared: test.dispatch == "shared"}) || v.Binds[1] != (metrics.Bind{Name: "unix://" + path, Shared: true}) {
			t.Errorf("%s: the metrics have the binds %+v", test.dispatch, v.Binds)
		}
	}
}

func TestBindLogsABacklogThatIsCut(t *testing.T) {
	_, log := bound(t, 1, func(c *configs.Config) { c.Backlog = 1 << 30 }, "127.0.0.1:0")
	if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "net.core.somaxconn") {
		t.Errorf("it logs %q", log)
	}
}

// A worker that adopts a slot gets the listeners that the slot has for itself; the shared ones it serves already.
func TestAdoptOnlyWhatIsNotShared(t *testing.T) {
	path := filepath.Join(socketDir(t), "sock")
	m, _ := bound(t, 2, func(*configs.Config) {}, "127.0.0.1:0", "unix://"+path, "127.0.0.1:0")
	control, theirs, err := ipc.NewChannelPair()
	if err != nil {
		t.Fatal(err)
	}
	worker, err := ipc.OpenChannel(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	id := plan.SeatID{Slot: 0}
	machine := &machine{sockets: m.sockets, workers: map[plan.SeatID]*child{id: {control: control}}}
	if err := machine.adopt(id, 1); err != nil {
		t.Fatal(err)
	}
	control.Close()
	var got []int
	for {
		msg, fd, err := worker.Receive()
		if err != nil {
			break
		}
		if msg.Type != ipc.Adopt || msg.Slot != 1 || fd == nil {
			t.Fatalf("%+v with %v", msg, fd)
		}
		fd.Close()
		got = append(got, msg.Bind)
	}
	if len(got) != 2 || got[0] != 0 || got[1] != 2 {
		t.Errorf("binds %v were handed over, want 0 and 2", got)
	}
}
