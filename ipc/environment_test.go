//go:build linux

package ipc

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var testConfig = WorkerConfig{
	Limits: Limits{
		Threads:      3,
		QueueDepth:   1024,
		QueueTimeout: 30 * time.Second,
		HeadTimeout:  15 * time.Second,
		IdleTimeout:  65 * time.Second,
		WriteTimeout: time.Minute,
		DrainTimeout: 30*time.Second + time.Nanosecond,
		DrainIdle:    10 * time.Second,
		OrphanGrace:  5 * time.Second,
	},
}

func TestEncode(t *testing.T) {
	h := Handover{
		Seat: 7, Generation: 2, Protocol: Protocol{1, 3}, Config: WorkerConfig{Limits: Limits{Threads: 3, HeadTimeout: time.Second}},
		Control: Own(21), Scoreboard: Own(20), Binds: []*FD{Own(23), Own(22)}, // none of these is closed here
	}
	files, env, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := []uintptr{21, 20, 23, 22}; !slices.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
	want := []string{
		"LISTEN_FDS=4",
		"LISTEN_FDNAMES=control:scoreboard:bind.0:bind.1",
		"CLUSTER_SEAT=7",
		"CLUSTER_GENERATION=2",
		"CLUSTER_PROTOCOL=1..3",
		`CLUSTER_WORKER_CONFIG={"threads":3,"queue_depth":0,"queue_timeout":0,"head_timeout":1000000000,"body_timeout":0,"idle_timeout":0,` +
			`"write_timeout":0,"drain_timeout":0,"drain_idle":0,"orphan_grace":0}`,
	}
	if !slices.Equal(env, want) {
		t.Errorf("environment\n%s\nwant\n%s", strings.Join(env, "\n"), strings.Join(want, "\n"))
	}
}

// The program is at a number that is known before the others are.
func TestEncodeProgram(t *testing.T) {
	h := Handover{Control: Own(21), Scoreboard: Own(20), Binds: []*FD{Own(23)}, Program: Own(19)} // none of these is closed here
	files, env, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := []uintptr{19, 21, 20, 23}; !slices.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
	if want := "LISTEN_FDNAMES=program:control:scoreboard:bind.0"; !slices.Contains(env, want) || !slices.Contains(env, "LISTEN_FDS=4") {
		t.Errorf("environment %q, want %s", env, want)
	}
	if want := "/proc/self/fd/" + strconv.Itoa(firstFD); ProgramPath != want {
		t.Errorf("it is found at %s, want %s", ProgramPath, want)
	}
}

func TestSlot(t *testing.T) {
	for seat, slot := range []int{0, 0, 1, 1, 2, 2} {
		h := Handover{Seat: seat}
		if h.Slot() != slot {
			t.Errorf("seat %d is in slot %d, want %d", seat, h.Slot(), slot)
		}
	}
}

func TestScrub(t *testing.T) {
	h := Handover{Control: Own(-1), Scoreboard: Own(-1)}
	_, ours, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	others := []string{
		"PATH=/bin", "EMPTY=", "NOVALUE", "TWICE=1", "TWICE=2", "EQUALS=a=b",
		"LISTEN_FDS_OLD=1", "XLISTEN_FDS=1", "cluster_seat=1", "CLUSTER_CONTROL=/tmp/x", "CLUSTER_WORKERS=4", "=C:=x",
	}
	tests := []struct {
		name      string
		env, want []string
	}{
		{"nothing", nil, nil},
		{"nothing of ours", others, others},
		{"all of ours", ours, nil},
		{"socket activation of the caller", []string{"LISTEN_PID=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b", "LISTEN_FDS"}, nil},
		{"the engine", []string{"CLUSTER_ENGINE=fasthttp"}, nil},
		{"mixed", slices.Concat(ours[:3], others, ours), others},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.env)
			if got := Scrub(tt.env); !slices.Equal(got, tt.want) {
				t.Errorf("kept %q, want %q", got, tt.want)
			}
			if !slices.Equal(tt.env, before) {
				t.Errorf("the argument was changed to %q", tt.env)
			}
		})
	}
}

// unset removes what Inherit reads, until the test is over.
func unset(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		t.Setenv(name, "") // it puts the old value back
		os.Unsetenv(name)
	}
}

func TestInheritByHand(t *testing.T) {
	unset(t, envSeat)
	t.Setenv(envFDs, "1") // a socket activation is not a master
	t.Setenv(envNames, "http")
	check := watchFDs(t)
	if h, ok, err := Inherit(); h != nil || ok || err != nil {
		t.Errorf("Inherit = %+v, %v, %v; want nothing", h, ok, err)
	}
	if os.Getenv(envFDs) != "1" || os.Getenv(envNames) != "http" {
		t.Error("the variables of a socket activation are gone")
	}
	check()
}

func TestInheritDamaged(t *testing.T) {
	// Inherit must find something at the first descriptors; that it sets close-on-exec on them hurts nobody.
	for n := 0; n < firstFD+4; {
		null := Own(openNull(t))
		defer null.Close()
		n = null.Int()
	}
	closed := firstFD
	names := []string{nameControl, nameScoreboard}
	for ; isOpen(closed); closed++ {
		names = append(names, namePrefixBind+strconv.Itoa(closed-firstFD))
	}
	tooMany := strings.Join(names[:closed-firstFD+1], ":") // one name more than there are descriptors in a row

	tests := []struct {
		name    string
		set     map[string]string // the value "-" unsets
		explain []string
	}{
		{"seat empty", map[string]string{envSeat: ""}, []string{`CLUSTER_SEAT=""`, "invalid syntax"}},
		{"seat no number", map[string]string{envSeat: "three"}, []string{`CLUSTER_SEAT="three"`, "invalid syntax"}},
		{"seat negative", map[string]string{envSeat: "-1"}, []string{`CLUSTER_SEAT="-1"`, "negative"}},
		{"seat too large", map[string]string{envSeat: "99999999999999999999"}, []string{"CLUSTER_SEAT", "out of range"}},
		{"generation", map[string]string{envGeneration: "2nd"}, []string{`CLUSTER_GENERATION="2nd"`, "invalid syntax"}},
		{"protocol", map[string]string{envProtocol: "1"}, []string{`CLUSTER_PROTOCOL="1"`}},
		{"protocol half", map[string]string{envProtocol: "1.."}, []string{`CLUSTER_PROTOCOL="1.."`}},
		{"protocol other form", map[string]string{envProtocol: "1-2"}, []string{`CLUSTER_PROTOCOL="1-2"`}},
		{"configuration cut off", map[string]string{envWorker: `{"threads":3`}, []string{"CLUSTER_WORKER_CONFIG", "unexpected end"}},
		{"configuration of another type", map[string]string{envWorker: `{"threads":"3"}`}, []string{"CLUSTER_WORKER_CONFIG", "threads"}},
		{"no count", map[string]string{envFDs: "-"}, []string{`LISTEN_FDS=""`, "invalid syntax"}},
		{"count no number", map[string]string{envFDs: "all"}, []string{`LISTEN_FDS="all"`, "invalid syntax"}},
		{"count negative", map[string]string{envFDs: "-2"}, []string{"LISTEN_FDNAMES", "names for -2"}},
		{"count zero", map[string]string{envFDs: "0"}, []string{"LISTEN_FDNAMES", "2 names for 0"}},
		{"more names", map[string]string{envFDs: "1"}, []string{"LISTEN_FDNAMES", "2 names for 1"}},
		{"fewer names", map[string]string{envFDs: "3"}, []string{"LISTEN_FDNAMES", "2 names for 3"}},
		{"no names", map[string]string{envNames: "-"}, []string{`LISTEN_FDNAMES=""`, "1 names for 2"}},
		{"no control", map[string]string{envNames: "bind.0:scoreboard"}, []string{"LISTEN_FDNAMES", "no control"}},
		{"no scoreboard", map[string]string{envNames: "control:bind.0"}, []string{"LISTEN_FDNAMES", "no scoreboard"}},
		{"a bind is missing", map[string]string{envNames: "control:bind.1"}, []string{"bind.1 where bind.0 was due"}},
		{"a bind twice", map[string]string{envFDs: "3", envNames: "control:bind.0:bind.0"}, []string{"bind.0 where bind.1 was due"}},
		{"a bind without number", map[string]string{envNames: "control:bind."}, []string{"bind. where bind.0 was due"}},
		{"a bind written otherwise", map[string]string{envNames: "control:bind.00"}, []string{"bind.00 where bind.0 was due"}},
		{
			"not open",
			map[string]string{envFDs: strconv.Itoa(closed - firstFD + 1), envNames: tooMany},
			[]string{"LISTEN_FDNAMES", "descriptor " + strconv.Itoa(closed), "not open", unix.EBADF.Error()},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range map[string]string{
				envSeat: "1", envGeneration: "2", envProtocol: "1..1", envWorker: "{}", envFDs: "2", envNames: "control:scoreboard",
			} {
				if v, ok := tt.set[name]; ok {
					value = v
				}
				t.Setenv(name, value)
				if value == "-" {
					os.Unsetenv(name)
				}
			}
			check := watchFDs(t)
			h, ok, err := Inherit()
			wantError(t, err, append(tt.explain, "inherited variable ")...)
			if h != nil || !ok {
				t.Errorf("Inherit = %+v, %v; want an error alone, and that there is a master", h, ok)
			}
			check()
		})
	}
}
