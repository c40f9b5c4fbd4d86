// Package logs writes what the master and the workers have to say to one place, and keeps the last lines of each worker.
// Nobody waits for that place: what does not fit in a bounded queue is dropped, counted, and said where it is missing.
package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	ownRoom   = 1 << 20          // bytes of the master's own lines that may be queued
	room      = 2 * PipeSize     // bytes of a worker's: what its two pipes hold, if the master was stopped
	allRoom   = 32 * PipeSize    // bytes of all workers', those included that have left: a crash loop makes ever new ones
	mostLossy = 256              // sources of which the end of the queue says that lines are missing; of others their next line does
	weight    = 128              // bytes that a queued chunk costs besides its text
	closing   = time.Second      // how long the end waits for the rest to be written
	patient   = time.Second / 10 // how long a reopening waits for a write, and for the file
)

// Output writes the log of the master and of the workers to one place, from one goroutine, so that a reader that has
// stopped reading (a full disk, a stopped terminal) stops neither the supervision nor a worker.
type Output struct {
	path    string
	json    bool
	wake    chan struct{} // capacity 1: there is something in the queue
	reopen  chan chan error
	quit    chan struct{}
	done    chan struct{}
	reading sync.WaitGroup // sources of which something may be unread

	mu      sync.Mutex
	queue   []chunk
	queued  int           // bytes in it that are not the master's own
	lossy   []*Source     // of which lines are missing after the last in the queue
	own     Source        // of the master's lines
	dropped int64         // lines of the master, and of the front
	lost    map[int]int64 // of workers, by slot
}

// chunk is some whole lines of one source, or a piece of a long one.
type chunk struct {
	source  *Source
	stream  string
	at      time.Time
	text    []byte
	partial bool // the line goes on in the next chunk
	lost    int  // lines that are missing before this one
}

// Open opens the file of a path, or standard error if the path is empty. The lines of workers are written in the format text
// or json; those of the master are written as they come.
func Open(path, format string) (*Output, error) {
	o := &Output{
		path: path, json: format == "json", wake: make(chan struct{}, 1), reopen: make(chan chan error), quit: make(chan struct{}), done: make(chan struct{}),
		lost: map[int]int64{},
	}
	o.own = Source{out: o, room: ownRoom}
	file := os.Stderr
	if path != "" {
		var err error
		if file, err = OpenFile(path); err != nil {
			return nil, err
		}
	}
	go o.run(file)
	return o, nil
}

// OpenFile opens a log file to append to it.
func OpenFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err // the path is said already
	}
	if err != nil {
		return nil, fmt.Errorf("log file %s cannot be opened: %w", path, err)
	}
	return f, nil
}

func (o *Output) run(file *os.File) {
	defer close(o.done)
	p := &printer{file: file, json: o.json}
	reopen := func(reply chan error) {
		p.flush()
		reply <- o.reopenFile(p)
	}
	for ending := false; ; {
		select {
		case reply := <-o.reopen:
			reopen(reply)
		default:
		}
		if c, ok := o.take(); ok {
			p.print(c)
			continue
		}
		p.flush()
		if ending {
			return
		}
		select {
		case <-o.wake:
		case reply := <-o.reopen:
			reopen(reply)
		case <-o.quit:
			ending = true
		}
	}
}

func (o *Output) reopenFile(p *printer) error {
	if o.path == "" {
		return nil
	}
	fresh, err := OpenFile(o.path)
	if err == nil {
		p.file.Close()
		p.file = fresh
	}
	return err
}

// put queues a chunk of so many lines, or drops it.
func (o *Output) put(c chunk, lines int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := c.source
	cost := len(c.text) + weight
	own := s == &o.own
	if s.queued > 0 && s.queued+cost > s.room || !own && o.queued > 0 && o.queued+cost > allRoom {
		if s.lost == 0 && len(o.lossy) < mostLossy && !slices.Contains(o.lossy, s) {
			o.lossy = append(o.lossy, s)
		}
		s.lost += lines
		switch slot := s.origin.Slot.(type) {
		case int:
			o.lost[slot] += int64(lines)
		case string: // one process for all slots
			o.lost[0] += int64(lines)
		default:
			o.dropped += int64(lines)
		}
		return
	}
	s.queued += cost
	if !own {
		o.queued += cost
	}
	c.lost, s.lost = s.lost, 0
	o.queue = append(o.queue, c)
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take removes the oldest chunk from the queue. At its end are those that only say what is missing.
func (o *Output) take() (chunk, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) == 0 {
		o.queue = nil // it may have been long
		if len(o.lossy) == 0 {
			return chunk{}, false
		}
		s := o.lossy[0]
		if o.lossy = o.lossy[1:]; s.lost > 0 { // else the next line has said so
			c := chunk{source: s, at: time.Now(), lost: s.lost}
			s.lost = 0
			return c, true
		}
	}
	c := o.queue[0]
	o.queue[0] = chunk{}
	o.queue = o.queue[1:]
	cost := len(c.text) + weight
	c.source.queued -= cost
	if c.source != &o.own {
		o.queued -= cost
	}
	return c, true
}

// Dropped is how many lines of the master and of the front were dropped since the start.
func (o *Output) Dropped() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped
}

// Lost is how many lines of a slot's workers were dropped since the start. One process for all slots counts as slot 0.
func (o *Output) Lost(slot int) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost[slot]
}

// Write is for the master's own log, a whole line at a time: it drops, and counts, rather than waits.
func (o *Output) Write(p []byte) (int, error) {
	o.put(chunk{source: &o.own, at: time.Now(), text: append([]byte(nil), p...)}, 1)
	return len(p), nil
}

// Reopen opens the file again under its name; on an error the old one stays. It waits for no writer that is stuck, and no file system.
func (o *Output) Reopen() error {
	reply := make(chan error, 1)
	late := time.After(patient)
	select {
	case o.reopen <- reply:
		select {
		case err := <-reply:
			return err
		case <-late:
			return errors.New("the log file is still being opened: its disk hangs, or it is a pipe that nobody reads")
		}
	case <-late:
		return errors.New("the log cannot be written at the moment: nobody reads it, or its disk hangs")
	}
}

// Close writes what workers that have ended left in their pipes and what is queued, unless that takes longer than a second.
func (o *Output) Close() {
	late := time.After(closing)
	read := make(chan struct{})
	go func() { o.reading.Wait(); close(read) }()
	select {
	case <-read:
	case <-late:
	}
	close(o.quit)
	select {
	case <-o.done:
	case <-late:
	}
}
