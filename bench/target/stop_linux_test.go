package target

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestStopKills(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		limit time.Duration
		ctx   time.Duration
		want  string
	}{
		{"in time of the launcher", 200 * time.Millisecond, time.Minute, `peer stubborn was killed: still running 200ms after signal "terminated"`},
		{"in time of the caller", time.Minute, 200 * time.Millisecond, "peer stubborn was killed: context deadline exceeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := launcher(t)
			l.StopTimeout = test.limit
			r, err := l.Start(t.Context(), Spec{Kind: Peer, Peer: "stubborn"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), test.ctx)
			defer cancel()
			err = r.Stop(ctx)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "left") {
				t.Errorf("error %v, want %q and nothing left", err, test.want)
			}
			if again := r.Stop(t.Context()); again != err {
				t.Errorf("stopped again: %v", again)
			}
			nothingLeft(t, r)
		})
	}
}

// A process that outlives the target and keeps its port is found, named, and killed.
func TestStopFindsOrphans(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"environment", "group", "parent"} {
		t.Run("by "+by, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			l := launcher(t)
			l.Grace = 200 * time.Millisecond
			r, err := l.Start(t.Context(), Spec{Kind: Peer, Peer: "orphans", Env: []string{envFile + "=" + file, "TARGET_TEST_BY=" + by}})
			if err != nil {
				t.Fatal(err)
			}
			var text []byte
			eventually(t, "the orphan has said its pid", func() bool {
				text, err = os.ReadFile(file)
				return err == nil && len(text) > 0
			})
			pid, err := strconv.Atoi(string(text))
			if err != nil || !living(t, pid) {
				t.Fatalf("there is no orphan %q: %v", text, err)
			}
			if tree, err := r.tree(); err != nil || slices.Contains(tree, pid) != (by == "parent") {
				t.Fatalf("the orphan %d and the tree %v: %v", pid, tree, err)
			}
			err = r.Stop(t.Context())
			if want := "left processes behind, which were killed: pid " + string(text); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			if living(t, pid) {
				t.Errorf("%s is left", title(pid))
			}
			nothingLeft(t, r)
		})
	}
}

// A listener that is no process of the target is an error, too.
func TestStopFindsListener(t *testing.T) {
	t.Parallel()
	r, err := launcher(t).Start(t.Context(), Spec{Kind: Peer, Peer: "serve"})
	if err != nil {
		t.Fatal(err)
	}
	// The address is taken by the test the moment it is free.
	_ = r.cmd.Process.Kill()
	<-r.ended
	taken := must(net.Listen("tcp", r.Addr()))
	err = r.Stop(t.Context())
	taken.Close()
	if want := r.Addr() + " is taken by pid " + strconv.Itoa(os.Getpid()); err == nil || !strings.Contains(err.Error(), "after the end of peer serve: "+want) {
		t.Errorf("error %v, want %q", err, want)
	}
	nothingLeft(t, r)
}
