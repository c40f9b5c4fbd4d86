package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prefork/cluster/master/api"
)

const (
	patience    = 60 * time.Second // for what takes a second, on a machine that is busy
	quiet       = time.Second      // between two events, at most
	upsetStream = 1 << 40          // of the seed; those below belong to clients
)

// Events are what a cluster went through.
type Events struct {
	Restarts int // rolling restarts that were asked for
	Aborted  int // of them, those that were taken back because a worker was killed
	Scales   int
	Kills    int
	Stops    int
	Open     int64 // connections that the killed workers had

	killed map[int]bool // by pid
}

func (e *Events) String() string {
	return fmt.Sprintf("%d restarts (%d aborted), %d times scaled, %d kills with %d connections, %d stops", e.Restarts, e.Aborted, e.Scales, e.Kills, e.Open, e.Stops)
}

// upset does one thing to the cluster after the other. A stopped worker goes on by itself, so other events meet it.
type upset struct {
	Trial
	dice    *rand.Rand
	events  Events
	stopped sync.WaitGroup // 1 while a worker is
	halted  chan struct{}  // full while one is
}

func newUpset(t Trial) *upset {
	return &upset{
		Trial: t, dice: rand.New(rand.NewPCG(t.Seed, upsetStream)),
		events: Events{killed: map[int]bool{}}, halted: make(chan struct{}, 1),
	}
}

// run does everything once and then by the dice, until ctx is done.
func (u *upset) run(ctx context.Context) error {
	defer u.stopped.Wait()
	all := []func() error{u.restart, u.scale}
	if u.Deadly {
		all = append(all, u.kill, u.stop)
	}
	for i := 0; ctx.Err() == nil; i++ {
		event := all[u.dice.IntN(len(all))]
		if i < len(all) {
			event = all[i]
		}
		if err := event(); err != nil {
			return err
		}
		if err := u.watch(); err != nil {
			return err
		}
		select { // a while of quiet, in which connections change workers for no other reason than load
		case <-time.After(time.Duration(u.dice.Int64N(int64(quiet)))):
		case <-ctx.Done():
		}
	}
	e := u.events
	if e.Restarts == 0 || e.Scales == 0 || u.Deadly && (e.Kills == 0 || e.Stops == 0) {
		return fmt.Errorf("the clients were done before everything had happened that was to: %v; give them more requests", &e)
	}
	return nil
}

// watch makes sure that no worker has died but by the trial's own hand.
func (u *upset) watch() error {
	s, err := u.Status()
	if err != nil {
		return err
	}
	for _, d := range s.Deaths {
		if !u.events.killed[d.PID] {
			return fmt.Errorf("worker %d (slot %d) died by itself: %s: %s", d.PID, d.Slot, d.Reason, d.Detail)
		}
	}
	return nil
}

// restart waits until the restart is over, or goes on while it is under way.
func (u *upset) restart() error {
	args := []string{"restart"}
	if u.dice.IntN(3) > 0 {
		args = append(args, "--wait")
	}
	u.events.Restarts++
	err := u.Command(args...)
	if err != nil && u.Deadly && strings.Contains(err.Error(), "restart aborted") {
		u.events.Aborted++
		return nil
	}
	return err
}

func (u *upset) scale() error {
	u.events.Scales++
	return u.Command("scale", strconv.Itoa(u.Least+u.dice.IntN(u.Most-u.Least+1)))
}

// worker draws one of those that run.
func (u *upset) worker() (pid int, err error) {
	s, err := u.Status()
	if err != nil {
		return 0, err
	}
	var pids []int
	for _, w := range s.Slots {
		if w.PID > 0 {
			pids = append(pids, w.PID)
		}
	}
	if len(pids) == 0 {
		return 0, errors.New("no worker runs")
	}
	return pids[u.dice.IntN(len(pids))], nil
}

// kill returns when the death is known, with what it has cost.
func (u *upset) kill() error {
	pid, err := u.worker()
	if err != nil {
		return err
	}
	u.events.killed[pid] = true
	if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
		return nil // it has left in order meanwhile
	} else if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
		s, err := u.Status()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool { return w.PID == pid }) {
			continue
		}
		for _, d := range s.Deaths {
			if d.PID == pid {
				u.events.Kills++
				u.events.Open += d.Open
			}
		}
		return nil
	}
	return fmt.Errorf("the master still has worker %d after %v, although it was killed", pid, patience)
}

// stop stops a worker, and lets it go on 0.2 to 4 s later. One at a time is.
func (u *upset) stop() error {
	pid, err := u.worker()
	if err != nil {
		return err
	}
	length := 200*time.Millisecond + time.Duration(u.dice.Int64N(int64(3800*time.Millisecond)))
	select {
	case u.halted <- struct{}{}:
	default:
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	u.events.Stops++
	u.stopped.Add(1)
	time.AfterFunc(length, func() {
		defer u.stopped.Done()
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been killed
		<-u.halted
	})
	return nil
}
