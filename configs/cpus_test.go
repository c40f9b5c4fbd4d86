package configs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		cpus  int
		quota float64
		want  int
	}{
		{8, 0, 8}, // no quota
		{8, -1, 8},
		{8, 2, 2},
		{8, 2.9, 2},
		{8, 0.1, 1},
		{2, 16, 2},
		{1, 0.5, 1},
	} {
		if got := limit(test.cpus, test.quota); got != test.want {
			t.Errorf("limit(%d, %v) = %d, want %d", test.cpus, test.quota, got, test.want)
		}
	}
}

func TestQuota(t *testing.T) {
	for _, test := range []struct {
		name       string
		files      map[string]string
		membership string
		want       float64
	}{
		{"nothing there", nil, "0::/\n", 0},
		{"no membership", map[string]string{"cpu.max": "100000 100000"}, "", 0},
		{"version 2", map[string]string{"a/b/cpu.max": "250000 100000\n"}, "0::/a/b\n", 2.5},
		{"a container sees its own cgroup as the root", map[string]string{"cpu.max": "150000 100000\n"}, "0::/\n", 1.5},
		{"unlimited", map[string]string{"a/cpu.max": "max 100000\n"}, "0::/a\n", 0},
		{"the one above counts", map[string]string{"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, "0::/a/b\n", 2},
		{"the smallest counts", map[string]string{"a/b/cpu.max": "300000 100000\n", "a/cpu.max": "50000 100000\n"}, "0::/a/b\n", 0.5},
		{"one beside does not", map[string]string{"a/b/cpu.max": "max 100000\n", "a/c/cpu.max": "100000 100000\n"}, "0::/a/b\n", 0},
		{"another period", map[string]string{"a/cpu.max": "20000 10000\n"}, "0::/a\n", 2},
		{"garbage", map[string]string{"a/cpu.max": "many of them\n"}, "0::/a\n", 0},
		{"half a line", map[string]string{"a/cpu.max": "100000\n"}, "0::/a\n", 0},
		{"a period of nothing", map[string]string{"a/cpu.max": "100000 0\n"}, "0::/a\n", 0},
		{"out of a namespace", map[string]string{"cpu.max": "100000 100000\n"}, "0::/../other\n", 1},
		{
			"version 1",
			map[string]string{"cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
			"12:memory:/m\n4:cpu,cpuacct:/a\n1:name=systemd:/s\n", 3,
		},
		{
			"version 1 without a limit",
			map[string]string{"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
			"4:cpu:/a\n", 0,
		},
		{
			"version 1 without a period",
			map[string]string{"cpu/a/cpu.cfs_quota_us": "100000\n"},
			"4:cpu:/a\n", 0,
		},
		{
			"cpuset is not cpu",
			map[string]string{"cpuset/a/cpu.cfs_quota_us": "100000\n", "cpuset/a/cpu.cfs_period_us": "100000\n"},
			"4:cpuset:/a\n", 0,
		},
		{
			"both, and the smaller counts",
			map[string]string{"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n", "b/cpu.max": "200000 100000\n"},
			"4:cpu:/a\n0::/b\n", 2,
		},
		{"malformed lines", map[string]string{"a/cpu.max": "200000 100000\n"}, "\nnonsense\n0:/a\n0::/a\n", 2},
	} {
		root := t.TempDir()
		for name, text := range test.files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := quota(root, test.membership); got != test.want {
			t.Errorf("%s: %v CPUs, want %v", test.name, got, test.want)
		}
	}
}

func TestAvailableCPUs(t *testing.T) {
	if n := AvailableCPUs(); n < 1 {
		t.Errorf("%d CPUs", n)
	}
}
