package load

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll waits for sockets and for a time. It belongs to one OS thread.
type poll struct {
	epoll  int
	bell   int // eventfd: rung from another goroutine
	timer  int // timerfd, on kernels before 5.11, which have no epoll_pwait2; else -1
	events []unix.EpollEvent
}

// What stands in the place of a connection's number in the events of the others.
const (
	bellEvent  = -1
	timerEvent = -2
)

// newPoll makes the calling thread's timers as exact as the kernel can; usually it allows itself 50 µs
// (PR_SET_TIMERSLACK). timerfd is for kernels without epoll_pwait2 and for the test of that way.
func newPoll(events int, timerfd bool) (*poll, error) {
	p := &poll{epoll: -1, bell: -1, timer: -1, events: make([]unix.EpollEvent, events)}
	if err := p.open(timerfd); err != nil {
		p.close()
		return nil, fmt.Errorf("cannot prepare the load generator's epoll: %w", err)
	}
	return p, nil
}

func (p *poll) open(timerfd bool) (err error) {
	if err = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_TIMERSLACK: %w", err)
	}
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err = p.add(p.bell, bellEvent); err != nil {
		return err
	}
	if !timerfd {
		_, err = p.pwait2(0)
		timerfd = errors.Is(err, unix.ENOSYS)
	}
	if !timerfd {
		return err
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("timerfd_create: %w", err)
	}
	return p.add(p.timer, timerEvent)
}

func (p *poll) add(fd int, number int32) error {
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: number}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (p *poll) close() {
	for _, fd := range []int{p.timer, p.bell, p.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// ring wakes whoever waits, now or next. It may be called from any goroutine before close.
func (p *poll) ring() { _, _ = unix.Write(p.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// watch says which events of a socket are awaited, and what they will carry.
func (p *poll) watch(op, fd int, events uint32, number, turn int32) error {
	return unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: number, Pad: turn})
}

// wait returns the events that are there, after at most d. None, without an error, after a signal.
func (p *poll) wait(d time.Duration) ([]unix.EpollEvent, error) {
	n, err := p.await(d)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, fmt.Errorf("cannot wait for the server's answers: epoll_wait: %w", err)
	}
	return p.events[:max(n, 0)], nil
}

func (p *poll) await(d time.Duration) (int, error) {
	if d <= 0 {
		return unix.EpollWait(p.epoll, p.events, 0)
	}
	if p.timer < 0 {
		return p.pwait2(d)
	}
	// Setting the timer also takes back that it has expired.
	if err := unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil); err != nil {
		return 0, err
	}
	return unix.EpollWait(p.epoll, p.events, -1)
}

// pwait2 is epoll_pwait2(2), which x/sys lacks: an epoll_wait that counts nanoseconds.
func (p *poll) pwait2(d time.Duration) (int, error) {
	limit := unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(&limit)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
