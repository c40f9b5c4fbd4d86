//go:build linux

package inbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// envFew makes the test binary a process with few descriptors, see few.
const envFew = "INBOX_TEST_FEW"

func TestMain(m *testing.M) {
	if os.Getenv(envFew) != "" {
		if err := few(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newBox(t *testing.T) *Box {
	t.Helper()
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// newFile is an open file that is known again by its number.
func newFile(name string) (*ipc.FD, uint64, error) {
	n, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, 0, err
	}
	fd := ipc.Own(n)
	inode, err := inode(fd)
	return fd, inode, err
}

func inode(fd *ipc.FD) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd.Int(), &st)
	return st.Ino, err
}

func testFile(t *testing.T) (*ipc.FD, uint64) {
	t.Helper()
	fd, inode, err := newFile(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	return fd, inode
}

// count is how many descriptors this process has.
func count(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// raw sends bytes and descriptors as another program would.
func raw(t *testing.T, b *Box, data []byte, fds ...int) {
	t.Helper()
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(b.Send.Int(), data, oob, nil, unix.MSG_DONTWAIT); err != nil {
		t.Fatal(err)
	}
}

func encoded(p Packet) []byte {
	var b [Size]byte
	p.Encode(&b)
	return b[:]
}

// both runs f with careless and with careful receiving: apart from the limit of descriptors they do the same.
func both(t *testing.T, f func(t *testing.T, careful bool)) {
	for _, careful := range []bool{false, true} {
		t.Run(fmt.Sprint("careful ", careful), func(t *testing.T) { f(t, careful) })
	}
}

func TestSendReceive(t *testing.T) {
	both(t, func(t *testing.T, careful bool) {
		b := newBox(t)
		file, want := testFile(t)
		packets := []Packet{{Kind: Connection, Sender: 1, Served: 5}, {Kind: Free, Sender: 2}, {Kind: Connection, Sender: 3}}
		for _, p := range packets {
			fd := file.Int()
			if p.Kind == Free {
				fd = -1
			}
			if err := Send(b.Send.Int(), &p, fd); err != nil {
				t.Fatal(err)
			}
		}
		for _, want2 := range packets {
			p, fd, err := Receive(b.Read.Int(), careful)
			if err != nil || p != want2 {
				t.Fatalf("%+v, %v, want %+v", p, err, want2)
			}
			if (fd != nil) != (p.Kind == Connection) {
				t.Fatalf("kind %d came with %v", p.Kind, fd)
			}
			if fd == nil {
				continue
			}
			if got, err := inode(fd); err != nil || got != want {
				t.Errorf("another file came: %d, want %d, %v", got, want, err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd.Int()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("flags %#x, %v: every child would inherit it", flags, err)
			}
			fd.Close()
		}
		if _, _, err := Receive(b.Read.Int(), careful); !errors.Is(err, ErrEmpty) {
			t.Errorf("an empty inbox: %v", err)
		}
	})
}

// What the ADR says an inbox holds. If a kernel holds less, more requests stay where they are; far less would be a bad surprise.
func TestFull(t *testing.T) {
	both(t, func(t *testing.T, careful bool) {
		b := newBox(t)
		file, _ := testFile(t)
		p := Packet{Kind: Connection}
		n := 0
		for ; ; n++ {
			p.Sender = n
			if err := Send(b.Send.Int(), &p, file.Int()); errors.Is(err, ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if n > 10_000 {
				t.Fatal("an inbox without end")
			}
		}
		t.Logf("it holds %d packets", n)
		if n < 200 {
			t.Errorf("it holds %d packets, the documents say 278", n)
		}
		for i := range n {
			p, fd, err := Receive(b.Read.Int(), careful)
			if err != nil || fd == nil || p.Sender != i {
				t.Fatalf("packet %d: %+v, %v, %v", i, p, fd, err)
			}
			fd.Close()
		}
		if err := Send(b.Send.Int(), &p, file.Int()); err != nil {
			t.Errorf("empty again: %v", err)
		}
	})
}

func TestPeerGone(t *testing.T) {
	both(t, func(t *testing.T, careful bool) {
		b := newBox(t)
		file, _ := testFile(t)
		p := Packet{Kind: Connection, Sender: 7}
		if err := Send(b.Send.Int(), &p, file.Int()); err != nil {
			t.Fatal(err)
		}
		b.Send.Close()
		if got, fd, err := Receive(b.Read.Int(), careful); err != nil || got != p || fd == nil {
			t.Fatalf("what was sent before: %+v, %v, %v", got, fd, err)
		} else {
			fd.Close()
		}
		if _, _, err := Receive(b.Read.Int(), careful); !errors.Is(err, io.EOF) {
			t.Errorf("nobody can send: %v, want EOF", err)
		}
		c := newBox(t)
		c.Read.Close()
		if err := Send(c.Send.Int(), &p, file.Int()); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("nobody can receive: %v, want an error that is not ErrFull", err)
		}
	})
}

func TestForeignPackets(t *testing.T) {
	file, want := testFile(t)
	connection := encoded(Packet{Kind: Connection, Sender: 4})
	newer := append([]byte(nil), connection...)
	newer[0]++
	for _, test := range []struct {
		name string
		data []byte
		fds  []int
		err  error
		has  bool // a descriptor comes out
	}{
		{"other version", newer, nil, ErrVersion, false},
		{"other version with a descriptor", newer, []int{file.Int()}, ErrVersion, false},
		{"too short", connection[:Size-1], []int{file.Int()}, ErrVersion, false},
		{"too long", append(append([]byte(nil), connection...), 0), []int{file.Int()}, ErrVersion, false},
		{"far too long", make([]byte, 10*Size), []int{file.Int()}, ErrVersion, false},
		{"a connection without a descriptor", connection, nil, ErrVersion, false},
		{"two descriptors", connection, []int{file.Int(), file.Int()}, nil, true},
		{"a hint with a descriptor", encoded(Packet{Kind: Free, Sender: 4}), []int{file.Int()}, nil, false},
		{"an unknown kind", encoded(Packet{Kind: 77}), nil, ErrVersion, false},
		{"an unknown kind with a descriptor", encoded(Packet{Kind: 77}), []int{file.Int()}, ErrVersion, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T, careful bool) {
				b := newBox(t)
				before := count(t)
				raw(t, b, test.data, test.fds...)
				p, fd, err := Receive(b.Read.Int(), careful)
				if !errors.Is(err, test.err) || (fd != nil) != test.has {
					t.Errorf("%+v, %v, %v; want %v and a descriptor: %v", p, fd, err, test.err, test.has)
				}
				if err == nil && p.Sender != 4 {
					t.Errorf("received %+v", p)
				}
				if fd != nil {
					if got, err := inode(fd); err != nil || got != want {
						t.Errorf("another file came: %d, %v", got, err)
					}
					fd.Close()
				}
				if _, _, err := Receive(b.Read.Int(), careful); !errors.Is(err, ErrEmpty) {
					t.Errorf("it is still there: %v", err)
				}
				if after := count(t); after != before {
					t.Errorf("%d descriptors, %d before", after, before)
				}
			})
		})
	}
}

func TestNoLeak(t *testing.T) {
	both(t, func(t *testing.T, careful bool) {
		b := newBox(t)
		file, _ := testFile(t)
		before := count(t)
		for i := range 10_000 {
			p := Packet{Kind: Connection, Sender: i % 1000}
			if err := Send(b.Send.Int(), &p, file.Int()); err != nil {
				t.Fatal(err)
			}
			got, fd, err := Receive(b.Read.Int(), careful)
			if err != nil || fd == nil || got != p {
				t.Fatalf("round %d: %+v, %v, %v", i, got, fd, err)
			}
			fd.Close()
		}
		if after := count(t); after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
}

// The master and a worker that is continued may read one inbox at the same time: each packet has one reader.
func TestTwoReaders(t *testing.T) {
	both(t, func(t *testing.T, careful bool) {
		const packets = 5000
		b := newBox(t)
		file, want := testFile(t)
		before := count(t)
		var mu sync.Mutex
		got := map[int]int{}
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for {
					p, fd, err := Receive(b.Read.Int(), careful)
					if errors.Is(err, ErrEmpty) {
						wait(b.Read.Int())
						continue
					}
					if errors.Is(err, io.EOF) {
						return
					}
					if err != nil || fd == nil {
						t.Errorf("%+v, %v, %v", p, fd, err)
						return
					}
					if n, err := inode(fd); err != nil || n != want {
						t.Errorf("another file came: %d, %v", n, err)
					}
					fd.Close()
					mu.Lock()
					got[p.Served]++
					mu.Unlock()
				}
			})
		}
		for i := range packets {
			p := Packet{Kind: Connection, Served: i}
			for errors.Is(Send(b.Send.Int(), &p, file.Int()), ErrFull) {
				room := []unix.PollFd{{Fd: int32(b.Send.Int()), Events: unix.POLLOUT}}
				unix.Poll(room, 1000)
			}
		}
		b.Send.Close()
		readers.Wait()
		for i := range packets {
			if got[i] != 1 {
				t.Errorf("packet %d came %d times", i, got[i])
			}
		}
		if after := count(t); after != before-1 {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
}

// wait returns when a packet or the end can be read.
func wait(fd int) { unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000) }

// A limit of descriptors belongs to a process, so a process of its own is brought to it.
func TestFewDescriptors(t *testing.T) {
	for _, what := range []string{"careful", "careless", "one", "hint"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			child := exec.Command(self)
			child.Env = append(os.Environ(), envFew+"="+what)
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, strings.TrimSpace(string(out)))
			}
		})
	}
}

// few receives in a process that may have no more descriptors.
func few() error {
	b, err := New()
	if err != nil {
		return err
	}
	file, want, err := newFile("few")
	if err != nil {
		return err
	}
	p := Packet{Kind: Connection, Sender: 9}
	what := os.Getenv(envFew)
	if what == "hint" {
		hint := Packet{Kind: Free, Sender: 8}
		if err := Send(b.Send.Int(), &hint, -1); err != nil {
			return err
		}
	}
	if err := Send(b.Send.Int(), &p, file.Int()); err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	var last *ipc.FD
	for {
		fd, err := ipc.Duplicate(file.Int())
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.EINVAL) {
			break
		}
		if err != nil {
			return err
		}
		last = fd
	}
	receive := func(careful bool) error {
		got, fd, err := Receive(b.Read.Int(), careful)
		if err != nil {
			return err
		}
		if got != p || fd == nil {
			return fmt.Errorf("received %+v with %v", got, fd)
		}
		if n, err := inode(fd); err != nil || n != want {
			return fmt.Errorf("another file came: %d, %v", n, err)
		}
		return nil
	}
	switch what {
	case "careful":
		for range 3 {
			if err := receive(true); !errors.Is(err, ErrNoDescriptor) {
				return fmt.Errorf("at the limit: %v, want ErrNoDescriptor", err)
			}
		}
		last.Close() // exactly one is free
		if err := receive(true); err != nil {
			return fmt.Errorf("with one descriptor: %w", err)
		}
	case "careless":
		if err := receive(false); !errors.Is(err, ErrNoDescriptor) {
			return fmt.Errorf("at the limit: %v, want ErrNoDescriptor", err)
		}
	case "one":
		last.Close()
		if err := receive(false); err != nil {
			return fmt.Errorf("with one descriptor: %w", err)
		}
	case "hint": // needs no descriptor, and does not take the connection behind it
		got, fd, err := Receive(b.Read.Int(), true)
		if err != nil || fd != nil || got.Kind != Free {
			return fmt.Errorf("%+v, %v, %w", got, fd, err)
		}
		if err := receive(true); !errors.Is(err, ErrNoDescriptor) {
			return fmt.Errorf("behind the hint: %w", err)
		}
		last.Close()
		if err := receive(true); err != nil {
			return fmt.Errorf("with one descriptor: %w", err)
		}
	}
	if _, _, err := Receive(b.Read.Int(), true); !errors.Is(err, ErrEmpty) {
		return fmt.Errorf("in the end: %v, want ErrEmpty", err)
	}
	return nil
}
