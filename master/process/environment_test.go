package process

import (
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
	env := []string{
		"PATH=/bin", "HOME=/root", "HOMER=1", "EMPTY=", "CLUSTER_WORKERS=4", "CLUSTER_NAME=blog", "CLUSTER_DEMO_DATA=1MiB",
		"CLUSTER_WORKERS_OF_MINE=1", "WORKERS=3", "WEB_CONCURRENCY=2", "LISTEN_FDS=1", "LISTEN_PID=7", "CLUSTER_SEAT=3", "HOME=/twice",
	}
	before := slices.Clone(env)
	want := []string{
		"PATH=/bin", "HOMER=1", "EMPTY=", "CLUSTER_DEMO_DATA=1MiB", "CLUSTER_WORKERS_OF_MINE=1", "WORKERS=3", "WEB_CONCURRENCY=2",
		"HOME=/nonexistent", "PWD=/",
	}
	if got := Environment(env, []string{"CLUSTER_WORKERS", "CLUSTER_NAME"}, "HOME=/nonexistent", "PWD=/"); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !slices.Equal(env, before) {
		t.Errorf("the argument was changed to %q", env)
	}
}
