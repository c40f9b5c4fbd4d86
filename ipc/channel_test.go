//go:build linux

package ipc

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// pair makes both ends of a control channel and closes what is left of them.
func pair(t *testing.T) (a, b *Channel) {
	t.Helper()
	a, fd, err := NewChannelPair()
	if err != nil {
		t.Fatal(err)
	}
	b, err = OpenChannel(fd)
	if err != nil {
		t.Fatal(err)
	}
	if fd.Int() != -1 {
		t.Errorf("OpenChannel did not take descriptor %d over", fd.Int())
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func send(t *testing.T, c *Channel, m Message, fd int) {
	t.Helper()
	if err := c.Send(m, fd); err != nil {
		t.Fatalf("send %s: %v", m.Type, err)
	}
}

// receive takes one message, which must be want, and its descriptor.
func receive(t *testing.T, c *Channel, want Message) (fd *FD) {
	t.Helper()
	within(t, "receive "+string(want.Type), func() {
		m, got, err := c.Receive()
		if err != nil || m != want {
			t.Errorf("received %+v, %v; want %+v", m, err, want)
		}
		fd = got
	})
	return fd
}

func receiveEOF(t *testing.T, c *Channel) {
	t.Helper()
	within(t, "receive EOF", func() {
		if m, fd, err := c.Receive(); err != io.EOF || fd != nil || m != (Message{}) {
			t.Errorf("received %+v, %v, %v; want io.EOF", m, fd, err)
		}
	})
}

func TestChannelMessages(t *testing.T) {
	a, b := pair(t)
	for _, m := range []Message{
		{Type: Hello, ProtocolMin: 1, ProtocolMax: 3},
		{Type: Ready},
		{Type: Adopt, Slot: 7, Bind: 2},
		{Type: Drain, Final: true},
		{Type: Bye, Left: 12},
		{Type: Stacks, ID: 1<<64 - 1},
		{Type: Error, Text: "\"quotes\", <html>\n, ünïcode, \u2028 and \x00"},
		{Type: "a type of the future"},
	} {
		for _, dir := range []struct {
			name     string
			from, to *Channel
		}{{"down", a, b}, {"up", b, a}} {
			t.Run(string(m.Type)+"/"+dir.name, func(t *testing.T) {
				send(t, dir.from, m, -1)
				if fd := receive(t, dir.to, m); fd != nil {
					t.Errorf("a descriptor came with it: %d", fd.Int())
				}
			})
		}
	}
}

func TestChannelDescriptor(t *testing.T) {
	check := watchFDs(t)
	a, b := pair(t)
	mine := Own(openNull(t))
	adopt := Message{Type: Adopt, Slot: 1}
	send(t, a, adopt, mine.Int())
	send(t, a, Message{Type: Release, Slot: 1}, -1)

	got := receive(t, b, adopt)
	if got == nil {
		t.Fatal("no descriptor came")
	}
	if got.Int() == mine.Int() || !sameFile(t, got.Int(), mine.Int()) {
		t.Errorf("received descriptor %d is no duplicate of %d", got.Int(), mine.Int())
	}
	if flags, err := unix.FcntlInt(uintptr(got.Int()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x (%v): a child would inherit the received descriptor", flags, err)
	}
	if !isOpen(mine.Int()) {
		t.Error("Send closed the sender's descriptor")
	}
	if fd := receive(t, b, Message{Type: Release, Slot: 1}); fd != nil {
		t.Error("the descriptor of the message before came again")
	}
	mine.Close()
	got.Close()
	a.Close()
	b.Close()
	check()
}

// What was sent before the other side closed arrives, whether or not the other side had read everything sent to it
// (the kernel answers ECONNRESET first if it had not).
func TestChannelEOF(t *testing.T) {
	for _, unread := range []int{0, 1, 3} {
		for _, queued := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("unread=%d/queued=%d", unread, queued), func(t *testing.T) {
				check := watchFDs(t)
				a, b := pair(t)
				for range unread {
					send(t, a, Message{Type: ReopenLogs}, -1)
				}
				for i := range queued {
					send(t, b, Message{Type: Bye, Left: i}, -1)
				}
				b.Close()
				for i := range queued {
					receive(t, a, Message{Type: Bye, Left: i})
				}
				receiveEOF(t, a)
				receiveEOF(t, a)
				if err := a.Send(Message{Type: Drain}, -1); !errors.Is(err, unix.EPIPE) {
					t.Errorf("Send to nobody: %v, want EPIPE", err)
				}
				a.Close()
				check()
			})
		}
	}
}

func TestChannelFull(t *testing.T) {
	a, b := pair(t)
	null := Own(openNull(t))
	defer null.Close()
	var sent uint64
	within(t, "Send to be refused", func() {
		for ; sent < 1e6; sent++ {
			if err := a.Send(Message{Type: Stacks, ID: sent, Text: strings.Repeat("x", 1000)}, -1); err != nil {
				if err != ErrFull {
					t.Errorf("message %d: %v, want ErrFull", sent, err)
				}
				return
			}
		}
		t.Errorf("%d messages were taken without anybody reading", sent)
	})
	if sent < 16 {
		t.Errorf("only %d messages fit", sent)
	}
	if err := a.Send(Message{Type: Adopt, Text: strings.Repeat("x", 1000)}, null.Int()); err != ErrFull {
		t.Errorf("with a descriptor: %v, want ErrFull", err)
	}
	for i := range sent {
		receive(t, b, Message{Type: Stacks, ID: i, Text: strings.Repeat("x", 1000)})
	}
	send(t, a, Message{Type: Drain}, -1)
	receive(t, b, Message{Type: Drain})
}

func TestChannelManySenders(t *testing.T) {
	a, b := pair(t)
	const senders, each = 8, 100
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range uint64(each) {
				err := ErrFull
				for err == ErrFull {
					err = a.Send(Message{Type: Stacks, Slot: s, ID: i}, -1)
					runtime.Gosched()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [senders]uint64
	within(t, "all messages", func() {
		for range senders * each {
			m, _, err := b.Receive()
			if err != nil || m.ID != next[m.Slot] {
				t.Errorf("sender %d: received %d, %v; want %d", m.Slot, m.ID, err, next[m.Slot])
				return
			}
			next[m.Slot]++
		}
	})
	b.Close() // if a message was wrong, nobody reads the rest
	wg.Wait()
}

func TestChannelCloseEndsReceive(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		a, _ := pair(t)
		a.Close()
		receiveEOF(t, a)
	})
	t.Run("while it waits", func(t *testing.T) {
		a, _ := pair(t)
		done := make(chan error)
		go func() {
			_, _, err := a.Receive()
			done <- err
		}()
		within(t, "Receive to wait", func() {
			stacks := make([]byte, 1<<18)
			for !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "[IO wait") {
				runtime.Gosched()
			}
		})
		a.Close()
		within(t, "Receive to return", func() {
			if err := <-done; err != io.EOF {
				t.Errorf("Receive: %v, want io.EOF", err)
			}
		})
	})
	t.Run("send", func(t *testing.T) {
		a, _ := pair(t)
		a.Close()
		wantError(t, a.Send(Message{Type: Ready}, -1), "control message ready", "closed")
	})
}

func TestOpenChannelRefuses(t *testing.T) {
	closed := Own(openNull(t))
	closed.Close()
	_, err := OpenChannel(closed)
	wantError(t, err, "control channel", "descriptor -1")

	check := watchFDs(t)
	c, err := OpenChannel(Own(openNull(t)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Receive()
	wantError(t, err, "control channel", "socket")
	c.Close()
	check()
}
