package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/prefork/cluster/bench/proc"
)

// Running is a target that has been started and was ready. Its methods may be called side by side.
type Running struct {
	launcher *Launcher
	spec     Spec
	addr     string
	dir      string // of its own
	control  string // socket of a cluster
	metrics  string // HOST:PORT of a cluster's, or empty
	mark     string // NAME=VALUE in the environment of all its processes
	command  Command
	split    bool // the root is a master that serves nothing
	began    time.Time
	ready    time.Duration
	output   *os.File // what it printed
	cmd      *exec.Cmd
	ended    chan struct{} // closed when the root has been waited for

	stop    sync.Once
	stopErr error

	mu   sync.Mutex
	seen history    // all processes that it was ever seen to have, and what they had used when read last
	lost proc.Usage // of it, what the kernel does not tell any more, because they have ended
	last Reading
}

type history map[identity]proc.Usage

// identity names a process for ever.
type identity struct {
	pid   int
	start uint64
}

// Addr is the HOST:PORT on which it serves.
func (r *Running) Addr() string { return r.addr }

// Argv is what it was started with.
func (r *Running) Argv() []string { return r.command.Argv }

// Ready is the time from its start to its being ready, up to one look too long: of a cluster a run of `cluster status` and
// 50 ms, of others a few milliseconds.
func (r *Running) Ready() time.Duration { return r.ready }

// Died is nil while the root process lives, else how it ended, with its last words.
func (r *Running) Died() error {
	select {
	case <-r.ended:
		return fmt.Errorf("%s died: %v%s", r.spec.name(), r.cmd.ProcessState, r.lastWords())
	default:
		return nil
	}
}

// lastWords are the last lines that it printed on standard error (and with Spec.Output on standard output), as the end of a message.
func (r *Running) lastWords() string {
	const lines, room = 20, 4096
	info, err := r.output.Stat()
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.NewSectionReader(r.output, max(0, info.Size()-room), room))
	said := strings.Split(strings.TrimSpace(string(text)), "\n")
	said = said[max(0, len(said)-lines):]
	if len(said) == 1 && said[0] == "" {
		return ", without a word"
	}
	return "; its last words:\n" + strings.Join(said, "\n")
}

// Read reads what it has used and served until now. No figure of a later reading is less than that of an earlier one: what
// the kernel does not tell of processes that have ended is what they had used when they were read last. Where there is a
// master, its workers that have ended count as serving.
func (r *Running) Read() (Reading, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pids, err := r.tree()
	if err != nil {
		return Reading{}, err
	}
	uses, err := proc.Each(pids...)
	if err != nil {
		return Reading{}, err
	}
	if uses[0].Ended {
		return Reading{}, r.buried(errors.New("it ended while it was read"))
	}
	now := Reading{Time: time.Now()}
	r.forget(uses)
	now.Serving = r.lost
	for i, u := range uses {
		now.Serving = now.Serving.Add(u.Reaped)
		if i == 0 && r.split {
			now.Master = u.Own
		} else {
			now.Serving = now.Serving.Add(u.Own)
		}
	}
	// Only what ended processes have used is counted in steps that may be a little less than their clocks were.
	now.Serving.CPU = max(now.Serving.CPU, r.last.Serving.CPU)
	if r.metrics != "" {
		if now.Counters, err = readCounters("http://" + r.metrics + "/metrics"); err != nil {
			return Reading{}, errors.Join(err, r.Died())
		}
	}
	r.last = now
	return now, nil
}

// tree is the root and all its descendants.
func (r *Running) tree() ([]int, error) {
	if err := r.Died(); err != nil {
		return nil, err
	}
	pids, err := proc.Tree(r.cmd.Process.Pid)
	if err != nil {
		return nil, r.buried(err)
	}
	return pids, nil
}

// buried is how the root has ended, which its being no longer among the processes tells a moment before. Without that it is the error
// that was seen.
func (r *Running) buried(seen error) error {
	const moment = time.Second
	select {
	case <-r.ended:
		return r.Died()
	case <-time.After(moment):
		return fmt.Errorf("%s: %w", r.spec.name(), seen)
	}
}

// forget moves what is known only of living processes from those that have ended to lost.
func (r *Running) forget(uses []proc.Use) {
	alive := map[identity]bool{}
	for _, u := range uses {
		if !u.Ended {
			id := identity{u.PID, u.Start}
			alive[id], r.seen[id] = true, u.Own
		}
	}
	for id, own := range r.seen {
		if !alive[id] {
			r.lost = r.lost.Add(proc.Usage{RunQueue: own.RunQueue, Voluntary: own.Voluntary, Involuntary: own.Involuntary})
			r.seen[id] = proc.Usage{}
		}
	}
}

// Memory reads its memory now. That takes the kernel a walk through the page tables of each process, so it is not for a
// moment that is being measured.
func (r *Running) Memory() (Memory, error) {
	pids, err := r.tree()
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	if r.split {
		if m.Master, err = proc.MemoryOf(pids[0]); err != nil {
			return Memory{}, err
		}
		pids = pids[1:]
	}
	m.Serving, err = proc.MemoryOf(pids...)
	return m, err
}

// Times between two looks at something that is waited for. To ask a cluster takes a process and its CPU time.
const (
	answerPoll = 5 * time.Millisecond
	statusPoll = 50 * time.Millisecond
)

// await asks until the answer is nil, the root has died, or the context has ended.
func (r *Running) await(ctx context.Context, pause time.Duration, ask func() error) error {
	var why error
	for {
		err := ask()
		if err == nil {
			return r.Died() // an orphan of it may answer
		}
		if why == nil || ctx.Err() == nil { // that it was cut short says nothing
			why = err
		}
		select {
		case <-r.ended:
			return r.Died()
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w%s", r.spec.name(), context.Cause(ctx), why, r.lastWords())
		case <-time.After(pause):
		}
	}
}

// answers is nil if the path of readiness is answered 2xx.
func (r *Running) answers(ctx context.Context) error {
	const patience = time.Second // with one answer; a server that boots may accept and say nothing
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	url := "http://" + r.addr + r.command.Ready
	status, _, err := get(ctx, url)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("%s is answered %d", url, status)
	}
	return err
}

// get asks on a connection of its own, so that none is left open.
func get(ctx context.Context, url string) (status int, body []byte, err error) {
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(ask)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}
