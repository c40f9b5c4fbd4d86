package plan

import (
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// The names are labels of metrics and fields of logs: they are fixed.
func TestReasons(t *testing.T) {
	want := []string{"boot_timeout", "boot_exit", "crash", "signal", "oom", "heartbeat", "request_stuck", "drain_timeout", "recycle_requests", "recycle_age", "recycle_memory", "restart", "rollback", "scale", "stop"}
	all := Reasons()
	if len(all) != len(want) {
		t.Fatalf("%v", all)
	}
	failures := 0
	for i, r := range all {
		if r.String() != want[i] || !regexp.MustCompile(`^[a-z_]+$`).MatchString(r.String()) {
			t.Errorf("%d: %q, want %q", i, r, want[i])
		}
		if r.Failure() {
			failures++
		}
	}
	if NoReason.String() != "" || NoReason.Failure() || failures != 6 || RequestStuck.Failure() || DrainTimeout.Failure() || Rollback.Failure() {
		t.Errorf("%d reasons are failures", failures)
	}
}

func TestExitStatus(t *testing.T) {
	tests := []struct {
		wait unix.WaitStatus
		want ExitStatus
		text string
	}{
		{0, ExitStatus{}, "exit code 0"},
		{3 << 8, ExitStatus{Code: 3}, "exit code 3"},
		{9, ExitStatus{Code: -1, Signal: 9}, "killed by SIGKILL (killed)"},
		{11 | 0x80, ExitStatus{Code: -1, Signal: 11, core: true}, "killed by SIGSEGV (segmentation fault), core dumped"},
	}
	for _, tt := range tests {
		if got := StatusOf(tt.wait); got != tt.want || got.String() != tt.text {
			t.Errorf("%#x: %+v, %q; want %+v, %q", tt.wait, got, got, tt.want, tt.text)
		}
	}
}
