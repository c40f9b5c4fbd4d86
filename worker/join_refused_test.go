package worker

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// A worker that cannot start tells the master why, and says the same on standard error.
func TestWorkerRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		role   string
		change func(*testing.T, *ipc.Handover)
		parts  []string
	}{
		{
			"another protocol", "serve",
			func(_ *testing.T, h *ipc.Handover) { h.Protocol = ipc.Protocol{Min: 2, Max: 3} },
			[]string{"the master speaks versions 2..3 of the control protocol, this program 1..1", "same release"},
		},
		{
			"a scoreboard of another version", "serve",
			func(t *testing.T, h *ipc.Handover) {
				board, err := scoreboard.Create(4, 8)
				if err != nil {
					t.Fatal(err)
				}
				version := binary.NativeEndian.AppendUint64(nil, 99)
				if _, err := unix.Pwrite(board.FD(), version, 8); err != nil {
					t.Fatal(err)
				}
				h.Scoreboard = ipc.Own(board.FD())
			},
			[]string{"scoreboard", "layout version 99", "build it with the cluster version that the master runs"},
		},
		{
			"no scoreboard", "serve",
			func(t *testing.T, h *ipc.Handover) {
				fd, err := ipc.NewMemfd("other", make([]byte, 8192))
				if err != nil {
					t.Fatal(err)
				}
				h.Scoreboard = fd
			},
			[]string{"scoreboard"},
		},
		{
			"a seat that is not there", "serve",
			func(_ *testing.T, h *ipc.Handover) { h.Seat = 8 },
			[]string{"seat 8 with 3 threads does not fit a scoreboard of 4 slots × 8 threads"},
		},
		{
			"a seat of another worker, in process", "serve",
			func(_ *testing.T, h *ipc.Handover) { h.Config.Workers = 2 },
			[]string{"seat 3 with 6 threads does not fit a scoreboard of 4 slots × 8 threads"},
		},
		{
			"too many workers, in process", "serve",
			func(_ *testing.T, h *ipc.Handover) { h.Seat, h.Config.Workers = 1, 5 },
			[]string{"seat 1 with 15 threads does not fit a scoreboard of 4 slots × 8 threads"},
		},
		{
			"too many threads", "serve",
			func(_ *testing.T, h *ipc.Handover) { h.Config.Threads = 9 },
			[]string{"seat 3 with 9 threads does not fit a scoreboard of 4 slots × 8 threads"},
		},
		{
			"no threads", "serve",
			func(_ *testing.T, h *ipc.Handover) { h.Config.Threads = 0 },
			[]string{"seat 3 with 0 threads does not fit"},
		},
		{
			"a bind that is no listener", "serve",
			func(t *testing.T, h *ipc.Handover) {
				file, err := os.Open(os.DevNull)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				fd, err := ipc.Duplicate(int(file.Fd()))
				if err != nil {
					t.Fatal(err)
				}
				h.Binds = append(h.Binds, fd)
			},
			[]string{"bind 1: the inherited descriptor is no listener"},
		},
		{"OnBoot", "boot fails", func(*testing.T, *ipc.Handover) {}, []string{"worker: boot: no database"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := spawnWorker(t, test.role, func(h *ipc.Handover) { test.change(t, h) })
			m.wantHello()
			m.wantMessage(ipc.Message{Type: ipc.Error}, test.parts...)
			m.wantExit(1)
			wantError(t, lastWords(m.log), test.parts...)
		})
	}
}

// lastWords is what a worker has said, as an error.
type words string

func (w words) Error() string { return string(w) }

func lastWords(log *logBook) error { return words(log.String()) }
