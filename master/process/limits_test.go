package process

import (
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	for _, test := range []struct {
		limits      Limits
		text        string
		connections int64
		enough      bool // for 4 workers on 1 bind, which need 84
	}{
		{Limits{Files: 1023, FilesMax: 1024, CorePattern: "core"}, "1023 descriptors a process, no core files", 960, true},
		{Limits{Files: 84, FilesMax: 84, Core: 1 << 20, CorePattern: "/var/core.%p"}, "84 descriptors a process, core files up to 1048576 bytes as /var/core.%p", 20, true},
		{Limits{Files: 83, FilesMax: 60, Core: -1, CorePattern: "|/sbin/dump %p"}, "83 descriptors a process, core files as |/sbin/dump %p", 0, false},
		{Limits{Files: -1, FilesMax: -1}, "any number of descriptors a process, no core files", -1, true},
	} {
		if got := test.limits.String(); got != test.text {
			t.Errorf("%+v is %q, want %q", test.limits, got, test.text)
		}
		if got := test.limits.Connections(); got != test.connections {
			t.Errorf("%v: %d connections, want %d", test.limits, got, test.connections)
		}
		if err := test.limits.Enough(4, 1); (err == nil) != test.enough || err != nil && !strings.Contains(err.Error(), "4 workers on 1 binds need 84, the limit is 83 (raise `ulimit -n`") {
			t.Errorf("%v: %v", test.limits, err)
		}
	}
	// Inboxes need four more a slot in the master, and in a worker the ends that it holds.
	l := Limits{Files: 99, FilesMax: 100, Inboxes: 8}
	if err := l.Enough(4, 1); err == nil || !strings.Contains(err.Error(), "need 100, the limit is 99") {
		t.Errorf("with inboxes: %v", err)
	}
	if l.Files = 100; l.Enough(4, 1) != nil || l.Connections() != 28 {
		t.Errorf("with inboxes: %v, %d connections", l.Enough(4, 1), l.Connections())
	}
	l, err := ReadLimits()
	if err != nil || l.FilesMax == 0 || l.Files == 0 {
		t.Errorf("%+v, %v", l, err)
	}
}
