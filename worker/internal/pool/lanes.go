package pool

import (
	"container/list"
	"context"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

const (
	// laneDepth is how many requests wait in a lane, as in Kino.
	laneDepth = 4
	// laneTick is how often free threads look into the lanes of others while somebody waits. It bounds how long a request
	// stands behind a long one while a thread is free.
	laneTick = time.Millisecond
)

// lanes is the pool in which each thread has a private queue, of at most laneDepth requests with their handlers, as Kino's
// `lanes` have. A request goes to the shortest lane of a thread that is awake: one that runs a request, or has just ended one, or
// polls. Only if none of these has room, or there is none, is a parked thread woken; and if all lanes are full requests wait
// for room. A thread goes on with the first of its own lane, or steals that of the longest other one, before it parks; parked
// ones do so every laneTick while somebody waits.
//
// At most as many handlers run as there are threads, and within a lane none overtakes another; between lanes requests do.
// All lanes have one mutex: what they spare is the waking of threads, not the contention for a lock.
type lanes struct {
	crew   // its mutex guards the rest
	cells  []*scoreboard.Cell
	row    *scoreboard.Row
	bounds Bounds

	own      []list.List // of *waiter, by thread
	room     list.List   // of *waiter: who waits for room in a lane
	waiting  int         // in all of these
	outlived []bool      // by thread: at the last tick it was free, and its goroutine at work
	ticking  bool        // tick will be called
}

func newLanes(k Kind, cells []*scoreboard.Cell, row *scoreboard.Row, clock scoreboard.Clock, b Bounds) *lanes {
	l := &lanes{
		crew: newCrew(k, clock, len(cells)), cells: cells, row: row, bounds: b,
		own: make([]list.List, len(cells)), outlived: make([]bool, len(cells)),
	}
	l.crew.next = l.proceed
	return l
}

// Run ignores the thread: no request has one before it runs.
func (l *lanes) Run(ctx context.Context, since int64, _ int, f func(thread int)) error {
	j := newJob(f)
	l.mu.Lock()
	w, timeout, err := l.enter(j, since)
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if w == nil {
		j.wait()
		return nil
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case o := <-j.done:
		j.end(o)
		return nil
	case <-timer.C:
		err = ErrQueueTimeout
	case <-ctx.Done():
		err = ErrClientGone
	}
	l.mu.Lock()
	waits := w.line != nil
	if waits {
		l.leave(w)
	}
	l.mu.Unlock()
	if waits {
		return err
	}
	j.wait() // a thread has taken it
	return nil
}

// enter gives the job to a thread, or puts it in line, since it became readable and for so long. It is called with the mutex
// held, as all below are that do not take it.
func (l *lanes) enter(j *job, since int64) (w *waiter, timeout time.Duration, err error) {
	room := l.waiting < l.bounds.Depth
	line := l.shortest()
	if l.wake(j, true) || (!room || line == nil) && l.wake(j, false) {
		return nil, 0, nil
	}
	if !room {
		return nil, 0, ErrQueueFull
	}
	if line == nil {
		line = &l.room
	}
	now := l.clock.Now()
	if since == 0 {
		since = now
	}
	w = &waiter{since: since, job: j}
	w.stand(line)
	l.waiting++
	l.publish()
	if !l.ticking {
		l.ticking = true
		time.AfterFunc(laneTick, l.tick)
	}
	return w, l.bounds.Timeout - time.Duration(now-since), nil
}

// wake gives the job to a thread that is free; polling: to one that polls. It is false if there is none.
func (l *lanes) wake(j *job, polling bool) bool {
	for i := range l.bounds.Threads {
		if (!polling || l.looking(i)) && l.own[i].Len() == 0 && l.take(i) {
			l.begin(i, j)
			return true
		}
	}
	return false
}

// shortest is the shortest lane of a thread that is awake; nil if none of them has room.
func (l *lanes) shortest() (line *list.List) {
	for i := range l.bounds.Threads {
		own := &l.own[i]
		if own.Len() < laneDepth && (line == nil || own.Len() < line.Len()) && (l.busy(i) || !l.cells[i].Free()) {
			line = own
		}
	}
	return line
}

// leave takes a request out of its line, and lets another have the room.
func (l *lanes) leave(w *waiter) {
	w.step()
	l.waiting--
	l.advance()
	l.publish()
}

// advance gives room to those that wait for it.
func (l *lanes) advance() {
	for w := head(&l.room); w != nil; w = head(&l.room) {
		line := l.shortest()
		if line == nil {
			return
		}
		w.step()
		w.stand(line)
	}
}

// take is false if the thread is not free.
func (l *lanes) take(thread int) bool {
	if !l.cells[thread].Take() {
		return false
	}
	l.outlived[thread] = false
	return true
}

// proceed takes the thread for a request that waits, and returns its job: the first of its own lane, else of the longest. It
// is nil if nobody waits, or the thread is not free: a response stream may keep it.
func (l *lanes) proceed(thread int) *job {
	if l.waiting == 0 || thread >= l.bounds.Threads || !l.take(thread) {
		return nil
	}
	line := &l.own[thread]
	if line.Len() == 0 {
		line = &l.room // of which there is nothing unless lanes are full, or threads have become fewer
		for i := range l.own {
			if n := l.own[i].Len(); n > 0 && (line == &l.room || n > line.Len()) {
				line = &l.own[i]
			}
		}
	}
	w := head(line)
	l.leave(w)
	return w.job
}

// tick lets parked threads steal. The goroutine of one that was given back while its handler ran on, as that of a connection
// which was taken over does, is replaced at the second tick: most that are seen so are about to return.
func (l *lanes) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steal()
	if l.ticking = l.waiting > 0; l.ticking {
		time.AfterFunc(laneTick, l.tick)
	}
}

// steal gives the requests that wait to threads that are free.
func (l *lanes) steal() {
	for i := range l.bounds.Threads {
		if !l.cells[i].Free() {
			continue
		}
		if l.busy(i) && !l.outlived[i] {
			l.outlived[i] = true
			continue
		}
		if j := l.proceed(i); j != nil {
			l.begin(i, j)
		}
	}
}

func (l *lanes) Give(thread int) (idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cells[thread].Give()
	if !l.busy(thread) { // else its goroutine goes on by itself
		if j := l.proceed(thread); j != nil {
			l.begin(thread, j)
			return false
		}
	}
	return l.waiting == 0 && thread < l.bounds.Threads
}

// SetBounds empties the lanes of threads that are no longer there.
func (l *lanes) SetBounds(b Bounds) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bounds = b
	for i := b.Threads; i < len(l.own); i++ {
		for w := head(&l.own[i]); w != nil; w = head(&l.own[i]) {
			w.step()
			w.stand(&l.room)
		}
	}
	l.advance()
	l.steal()
}

func (l *lanes) Cell(thread int) *scoreboard.Cell { return l.cells[thread] }

func (l *lanes) Pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
}

// publish tells the scoreboard who waits.
func (l *lanes) publish() {
	l.row.Waiting.Store(int64(l.waiting))
	since := int64(0)
	if l.waiting > 0 {
		since = headSince(&l.room)
		for i := range l.own {
			since = earlier(since, headSince(&l.own[i]))
		}
	}
	l.row.OldestWaiting.Store(since)
}
