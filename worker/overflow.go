package worker

import (
	"errors"
	"sync"
	"syscall"
)

// overflow holds the end of a response that its client is slow to take, so that the thread need not wait for it: a goroutine
// of its own writes it out. While there is such a goroutine nobody else writes on the connection.
type overflow struct {
	mu      sync.Mutex
	changed *sync.Cond
	buf     []byte
	size    int // of buf and of what the goroutine is writing
	writing bool
	err     error // of the goroutine's last write; final
}

// Buffer turns buffering on for as long as a thread is held. Turned off, it waits until all has been written.
func (c *conn) Buffer(on bool) {
	if on {
		c.buffering.Store(c.m.Limits().BufferResponse > 0)
		return
	}
	if c.buffering.Swap(false) {
		_ = c.flushed() // the engine sees the error at its next write
	}
}

// flushed waits until nothing is buffered.
func (c *conn) flushed() error {
	o := c.pending
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing {
		o.changed.Wait()
	}
	return o.err
}

// writeBuffered writes what the kernel takes at once and buffers the rest, up to the limit. What is more waits, as it would
// without a buffer.
func (c *conn) writeBuffered(p []byte) (int, error) {
	limit := c.m.Limits().BufferResponse
	if c.pending == nil {
		n, err := c.writeNow(p)
		if err != nil || n == len(p) {
			return n, err
		}
		o := &overflow{}
		o.changed = sync.NewCond(&o.mu)
		c.pending = o
		rest, err := c.buffer(p[n:], limit)
		return n + rest, err
	}
	c.pending.mu.Lock()
	err, idle := c.pending.err, !c.pending.writing
	c.pending.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n := 0
	if idle {
		if n, err = c.writeNow(p); err != nil || n == len(p) {
			return n, err
		}
	}
	rest, err := c.buffer(p[n:], limit)
	return n + rest, err
}

// buffer keeps the end of p, after the beginning for which there is no room has been written.
func (c *conn) buffer(p []byte, limit int) (int, error) {
	o := c.pending
	o.mu.Lock()
	room := limit - o.size
	o.mu.Unlock()
	through := 0
	if len(p) > room {
		if err := c.flushed(); err != nil {
			return 0, err
		}
		through = max(0, len(p)-limit)
		if n, err := c.writeThrough(p[:through]); err != nil {
			return n, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, p[through:]...)
	o.size += len(p) - through
	if !o.writing {
		o.writing = true
		go c.writeOut()
	}
	return len(p), nil
}

// writeOut writes what is buffered until nothing is.
func (c *conn) writeOut() {
	o := c.pending
	var out []byte
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) > 0 && o.err == nil {
		out, o.buf = o.buf, out[:0]
		o.mu.Unlock()
		_, err := c.writeThrough(out)
		o.mu.Lock()
		o.err = err
		o.size -= len(out)
	}
	o.buf, o.size = nil, 0
	o.writing = false
	o.changed.Broadcast()
}

// instant writes what the kernel takes without waiting. It is kept with the connection, so that a write allocates nothing.
type instant struct {
	raw syscall.RawConn
	do  func(fd uintptr) bool
	p   []byte
	n   int
	err error
}

func (c *conn) writeNow(p []byte) (int, error) {
	if c.instant == nil {
		sc, ok := c.socket.(syscall.Conn)
		if !ok {
			return 0, nil
		}
		raw, err := sc.SyscallConn()
		if err != nil {
			return 0, err
		}
		c.instant = &instant{raw: raw}
		c.instant.do = c.instant.write
	}
	i := c.instant
	i.p, i.n, i.err = p, 0, nil
	err := i.raw.Write(i.do)
	i.p = nil
	return i.n, errors.Join(err, i.err)
}

// write is called with the descriptor. It says that it is done, whatever happens: waiting is not its business.
func (i *instant) write(fd uintptr) bool {
	for i.n < len(i.p) {
		n, err := syscall.Write(int(fd), i.p[i.n:])
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return true
		case err != nil:
			i.err = err
			return true
		default:
			i.n += n
		}
	}
	return true
}
