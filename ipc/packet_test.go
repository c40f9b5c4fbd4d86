//go:build linux

package ipc

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rawPair is a channel and the raw socket of somebody who does not keep to the rules.
func rawPair(t *testing.T) (c *Channel, other int) {
	t.Helper()
	c, fd, err := NewChannelPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); fd.Close() })
	return c, fd.Int()
}

func sendRaw(t *testing.T, to int, data string, fds ...int) {
	t.Helper()
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(to, []byte(data), oob, nil, unix.MSG_DONTWAIT); err != nil {
		t.Fatal(err)
	}
}

var malformed = []struct{ name, packet, why string }{
	{"no JSON", "ready", "invalid character"},
	{"cut off", `{"type":"ready"`, "unexpected end"},
	{"two values", `{"type":"ready"}{"type":"bye"}`, "after top-level value"},
	{"no object", `["ready"]`, "array"},
	{"null", `null`, "no type"},
	{"no type", `{"slot":3}`, "no type"},
	{"empty type", `{"type":""}`, "no type"},
	{"type is no string", `{"type":7}`, "number"},
	{"slot is no integer", `{"type":"adopt","slot":1.5}`, "1.5"},
	{"id is negative", `{"type":"stacks","id":-1}`, "-1"},
	{"slot is no number", `{"type":"adopt","slot":"1"}`, "string"},
	{"zero bytes", "\x00\x00\x00\x00", "invalid character"},
	{"one byte too long", `{"type":"bye"}` + strings.Repeat(" ", MaxPacket+1-len(`{"type":"bye"}`)), "longer than 32768 bytes"},
	{"much too long", strings.Repeat("x", 3*MaxPacket), "longer than 32768 bytes"},
}

func TestMalformedPacket(t *testing.T) {
	null := Own(openNull(t))
	defer null.Close()
	for _, tt := range malformed {
		for name, fds := range map[string][]int{"alone": nil, "with descriptor": {null.Int()}} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				c, other := rawPair(t)
				check := watchFDs(t)
				sendRaw(t, other, tt.packet, fds...)
				sendRaw(t, other, `{"type":"ready","slot":5}`)
				m, fd, err := c.Receive()
				if bad, ok := errors.AsType[*MalformedError](err); !ok || m != (Message{}) || fd != nil {
					t.Errorf("received %+v, %v, %v; want a *MalformedError", m, fd, err)
				} else if !strings.Contains(bad.Why, tt.why) {
					t.Errorf("%q does not say %q", bad, tt.why)
				}
				check()
				receive(t, c, Message{Type: Ready, Slot: 5}) // it goes on working
			})
		}
	}
}

// An empty packet cannot be told from the end of the channel.
func TestEmptyPacket(t *testing.T) {
	c, other := rawPair(t)
	sendRaw(t, other, "")
	receiveEOF(t, c)
}

func TestLongestPacket(t *testing.T) {
	a, b := pair(t)
	empty, err := json.Marshal(Message{Type: Error, Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	longest := Message{Type: Error, Text: strings.Repeat("x", MaxPacket-len(empty)+1)}
	send(t, a, longest, -1)
	receive(t, b, longest)

	longest.Text += "x"
	wantError(t, a.Send(longest, -1), "control message error", "32769 bytes", "32768 allowed")
	send(t, a, Message{Type: Ready}, -1) // nothing of it was sent
	receive(t, b, Message{Type: Ready})
}

func TestUnknownFieldsIgnored(t *testing.T) {
	c, other := rawPair(t)
	sendRaw(t, other, `{"colour":{"nested":[1,2]},"type":"adopt","slot":3,"weight":1e99}`)
	receive(t, c, Message{Type: Adopt, Slot: 3})
}

// A message has one descriptor. Whoever sends more fills the table of this process with none of them.
func TestSeveralDescriptors(t *testing.T) {
	null := Own(openNull(t))
	defer null.Close()
	for _, count := range []int{2, 3, 20, 253} {
		c, other := rawPair(t)
		check := watchFDs(t)
		fds := make([]int, count)
		for i := range fds {
			fds[i] = null.Int()
		}
		sendRaw(t, other, `{"type":"adopt"}`, fds...)
		_, fd, err := c.Receive()
		if _, ok := errors.AsType[*MalformedError](err); !ok || fd != nil {
			t.Errorf("%d descriptors: received %v, %v; want a *MalformedError", count, fd, err)
		}
		check()
		sendRaw(t, other, `{"type":"ready"}`)
		receive(t, c, Message{Type: Ready})
	}
}

// The kernel throws a descriptor away that the process has no room for. Its message must not look like one without.
func TestDescriptorLost(t *testing.T) {
	null := Own(openNull(t))
	defer null.Close()
	c, other := rawPair(t)
	sendRaw(t, other, `{"type":"adopt"}`, null.Int())
	check := watchFDs(t)

	lowestFree, err := Duplicate(null.Int())
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowered := unix.Rlimit{Cur: uint64(lowestFree.Int()), Max: limit.Max}
	lowestFree.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	m, fd, err := c.Receive()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*MalformedError](err); !ok || fd != nil {
		t.Errorf("received %+v, %v, %v; want a *MalformedError", m, fd, err)
	} else {
		wantError(t, err, "descriptor")
	}
	check()
	sendRaw(t, other, `{"type":"ready"}`)
	receive(t, c, Message{Type: Ready})
}

func FuzzDecode(f *testing.F) {
	for _, tt := range malformed {
		f.Add([]byte(tt.packet), 0)
	}
	for _, good := range []string{
		`{"type":"hello","protocol_min":1,"protocol_max":2}`,
		`{"type":"adopt","bind":1,"slot":2,"final":true,"left":3,"id":18446744073709551615}`,
		`{"type":"error","text":"\ud800 \u0000 \u2028"}`,
		`{"TYPE":"bye","Left":-1}`,
		`{"type":"bye","unknown":{"a":[null,true,1e99]}}`,
		"{\"type\":\"error\",\"text\":\"\xff\xfe\"}",
		`{"type":"adopt","slot":` + strings.Repeat("9", 1000) + `}`,
		`{"` + strings.Repeat("x", 1000) + `":1,"slot":true}`,
	} {
		f.Add([]byte(good), 0)
		f.Add([]byte(good), unix.MSG_TRUNC)
		f.Add([]byte(good), unix.MSG_CTRUNC)
	}
	f.Fuzz(func(t *testing.T, data []byte, flags int) {
		m, err := decode(data, flags)
		if err != nil {
			bad, ok := errors.AsType[*MalformedError](err)
			if !ok || m != (Message{}) {
				t.Fatalf("%+v, %v: not a *MalformedError alone", m, err)
			}
			if len(bad.Why) > 1024 { // it goes into logs and into an answer, which has a limit
				t.Fatalf("%d bytes of explanation: %.100s…", len(bad.Why), bad.Why)
			}
			return
		}
		if m.Type == "" || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			t.Fatalf("accepted %q with flags %#x as %+v", data, flags, m)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if m2, err := decode(again, 0); err != nil || m2 != m {
			t.Fatalf("%q is %+v, but sent again it is %+v, %v", data, m, m2, err)
		}
	})
}

func TestMalformedErrorText(t *testing.T) {
	err := error(&MalformedError{Why: "no type in \"{}\""})
	wantError(t, err, "malformed control packet: no type")
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		t.Error("a malformed packet looks like the end of the channel")
	}
}
