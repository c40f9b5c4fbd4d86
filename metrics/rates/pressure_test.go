package rates

import (
	"os"
	"path/filepath"
	"testing"
)

// root writes files of /proc and /sys.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	mount2    = "34 23 0:29 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	inside    = "34 23 0:29 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
	mount1    = "31 30 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	mountSets = "33 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
	stat2     = "usage_usec 5\nnr_periods 100\nnr_throttled 30\nthrottled_usec 2500000\n"
	stat1     = "nr_periods 100\nnr_throttled 30\nthrottled_time 2500000000\n"
)

func psi(percent string) string {
	return "some avg10=" + percent + " avg60=99.00 avg300=99.00 total=20727376589\nfull avg10=98.00 avg60=0.00 avg300=0.00 total=0\n"
}

func TestPressure(t *testing.T) {
	t.Parallel()
	machinePSI := map[string]string{"proc/pressure/cpu": psi("12.50"), "proc/pressure/memory": psi("0.00"), "proc/pressure/io": psi("50.00")}
	for _, test := range []struct {
		name            string
		files           map[string]string
		of              string
		cpu, memory, io float64 // -1: not known
		throttled       float64 // seconds
		share           float64 // of the periods since 60, of which 20
	}{
		{"nothing is known", nil, "", -1, -1, -1, -1, -1},
		{"of the machine", machinePSI, "machine", 0.125, 0, 0.5, -1, -1},
		{"without memory", map[string]string{"proc/pressure/cpu": psi("12.50"), "proc/pressure/memory": "nonsense\n", "proc/pressure/io": "some avg10=much\n"}, "machine", 0.125, -1, -1, -1, -1},
		{"of the cgroup", map[string]string{
			"proc/self/mountinfo": mountSets + mount2, "proc/self/cgroup": "0::/system.slice/blog.service\n", "proc/pressure/cpu": psi("99.00"),
			"sys/fs/cgroup/system.slice/blog.service/cpu.pressure": psi("1.00"), "sys/fs/cgroup/system.slice/blog.service/cpu.stat": stat2,
		}, "cgroup", 0.01, -1, -1, 2.5, 0.25},
		{"in a container that sees its path", map[string]string{
			"proc/self/mountinfo": inside, "proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.stat": stat2, "proc/pressure/cpu": psi("2.00"),
		}, "machine", 0.02, -1, -1, 2.5, 0.25},
		{"no quota", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
		}, "", -1, -1, -1, -1, -1},
		{"version 1 beside version 2", map[string]string{
			"proc/self/mountinfo": mountSets + mount1 + "40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "proc/self/cgroup": "7:cpuset:/x\n1:cpu,cpuacct:/docker/abc\n0::/\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.stat": stat1, "sys/fs/cgroup/unified/cpu.stat": "usage_usec 5\n",
		}, "", -1, -1, -1, 2.5, 0.25},
	} {
		m := locate(root(t, test.files))
		look := m.read()
		p := look.since(throttle{})
		if test.share >= 0 {
			p = look.since(throttle{periods: 60, used: 20})
		}
		if p.Of != test.of {
			t.Errorf("%s: of %q, want %q", test.name, p.Of, test.of)
		}
		for name, value := range map[string]struct {
			got  *float64
			want float64
		}{"cpu": {p.CPU, test.cpu}, "memory": {p.Memory, test.memory}, "io": {p.IO, test.io}, "throttled": {p.ThrottledSeconds, test.throttled}, "share": {p.Throttled, test.share}} {
			switch {
			case value.got == nil:
				if value.want >= 0 {
					t.Errorf("%s: %s is not known, want %v", test.name, name, value.want)
				}
			case !same(*value.got, value.want):
				t.Errorf("%s: %s is %v, want %v", test.name, name, *value.got, value.want)
			}
		}
	}
}
