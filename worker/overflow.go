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

// overflowPiece is after how many bytes written there is room for as many others.
const overflowPiece = 16 << 10

// Buffer turns buffering on for as long as a thread is held. Turned off, it waits until all has been written. If that fails
// the connection is closed: the engine believes that it was written, and would let the next answer follow.
func (c *conn) Buffer(on bool) {
	if on {
		c.buffering.Store(c.m.Limits().BufferResponse > 0)
		return
	}
	if !c.buffering.Load() {
		return
	}
	if c.flushed() != nil {
		_ = c.Conn.Close()
	}
	c.buffering.Store(false) // not before: TLS may write on its own account meanwhile
}

// flushed waits until nothing is buffered.
func (c *conn) flushed() error {
	o := c.pending.Load()
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
	o := c.pending.Load()
	if o == nil {
		n, err := c.writeNow(p)
		if err != nil || n == len(p) {
			return n, err
		}
		o = &overflow{}
		o.changed = sync.NewCond(&o.mu)
		c.pending.Store(o)
		rest, err := c.buffer(o, p[n:])
		return n + rest, err
	}
	o.mu.Lock()
	err, idle := o.err, !o.writing
	o.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n := 0
	if idle {
		if n, err = c.writeNow(p); err != nil || n == len(p) {
			return n, err
		}
	}
	rest, err := c.buffer(o, p[n:])
	return n + rest, err
}

// buffer keeps the end of p, after the beginning for which there is no room has been written.
func (c *conn) buffer(o *overflow, p []byte) (int, error) {
	limit := c.m.Limits().BufferResponse
	through := max(0, len(p)-limit)
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing && o.size > max(0, limit-len(p)) {
		o.changed.Wait()
	}
	if o.err != nil {
		return 0, o.err
	}
	if through > 0 { // nothing is buffered
		o.mu.Unlock()
		n, err := c.writeThrough(p[:through])
		o.mu.Lock()
		if err != nil {
			return n, err
		}
	}
	o.buf = append(o.buf, p[through:]...)
	o.size += len(p) - through
	if !o.writing {
		o.writing = true
		go c.writeOut(o)
	}
	return len(p), nil
}

// writeOut writes what is buffered until nothing is.
func (c *conn) writeOut(o *overflow) {
	var out []byte
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.size > 0 && o.err == nil {
		if len(out) == 0 {
			out, o.buf = o.buf, nil
		}
		piece := out[:min(len(out), overflowPiece)]
		o.mu.Unlock()
		_, err := c.writeThrough(piece)
		o.mu.Lock()
		out = out[len(piece):]
		o.size -= len(piece)
		o.err = err
		o.changed.Broadcast()
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
