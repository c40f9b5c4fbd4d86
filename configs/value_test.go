package configs

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestReadSize(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64
		back string // empty: as it was
	}{
		{"0", 0, ""},
		{"1", 1, ""},
		{"1000", 1000, ""},
		{"65536", 64 << 10, "64KiB"},
		{"64KiB", 64 << 10, ""},
		{"64kib", 64 << 10, "64KiB"},
		{"64 KiB", 64 << 10, "64KiB"},
		{"1MiB", 1 << 20, ""},
		{"1024KiB", 1 << 20, "1MiB"},
		{"1025KiB", 1025 << 10, ""},
		{"3GiB", 3 << 30, ""},
		{"10MB", 10e6, "10000000"},
		{"1KB", 1000, "1000"},
		{"2GB", 2e9, "1953125KiB"},
		{"7B", 7, "7"},
		{"-1", -1, ""},
		{"8589934591GiB", 8589934591 << 30, ""},
	} {
		got, f := readSize(test.text)
		if f != nil || got != test.want {
			t.Errorf("%q: %d %v, want %d", test.text, got, f, test.want)
		}
		back := test.back
		if back == "" {
			back = test.text
		}
		if text := formatSize(got); text != back {
			t.Errorf("%q comes back as %s, want %s", test.text, text, back)
		}
	}
	for text, bare := range map[string]bool{
		"": false, "KiB": false, "B": false, "1.5MiB": false, "64K": false, "64M": false, "1TiB": false, "many": false, "0x10": false,
		"1_000": false, "1e3": false, "--1": false, "8589934592GiB": true, "-8589934593GiB": true, "99999999999999999999": true,
	} {
		if n, f := readSize(text); f == nil || f.bare != bare {
			t.Errorf("%q: %d %v, want a fault", text, n, f)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 500 * time.Millisecond: "500ms", 10 * time.Second: "10s", time.Minute: "1m", 65 * time.Second: "1m5s", 70 * time.Second: "1m10s",
		10 * time.Minute: "10m", time.Hour: "1h", 70 * time.Minute: "1h10m", time.Hour + time.Second: "1h0m1s", 20 * time.Hour: "20h", maxDuration: "8760h",
	} {
		got := formatDuration(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%v: %s, which is %v %v; want %s", d, got, back, err, want)
		}
	}
}

func TestReadSwitch(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "True": true, "yes": true, "on": true, "1": true, "false": false, "no": false, "OFF": false, "0": false} {
		if got, f := readSwitch(text); f != nil || got != want {
			t.Errorf("%q: %v %v", text, got, f)
		}
	}
	for _, text := range []string{"", "maybe", "2", "y"} {
		if got, f := readSwitch(text); f == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestLevel(t *testing.T) {
	for _, test := range []struct {
		level string
		quiet bool
		want  string
	}{
		{"debug", false, "DEBUG"},
		{"info", false, "INFO"},
		{"warn", false, "WARN"},
		{"error", false, "ERROR"},
		{"debug", true, "WARN"},
		{"error", true, "ERROR"},
	} {
		c := Config{LogLevel: test.level, Quiet: test.quiet}
		if got := c.Level().String(); got != test.want {
			t.Errorf("%s, quiet %v: %s, want %s", test.level, test.quiet, got, test.want)
		}
	}
}

// A number of workers may be a range, from every source and back again.
func TestRange(t *testing.T) {
	t.Chdir(t.TempDir())
	workers := settingNamed("workers")
	for _, test := range []struct {
		written   string
		low, high int
		text      string
		wrong     string
	}{
		{"2:8", 2, 8, "2:8", ""},
		{"7", 7, 0, "7", ""},
		{"1:64", 1, 64, "1:64", ""},
		{"2:", 0, 0, "", `--workers "2:" is no range: give two whole numbers, such as 2:8`},
		{":8", 0, 0, "", `--workers ":8" is no range: give two whole numbers, such as 2:8`},
		{"2:8:9", 0, 0, "", `--workers "2:8:9" is no range: give two whole numbers, such as 2:8`},
		{"8:2", 0, 0, "", "--workers 8:2 is no range: the second number is to be larger than the first"},
		{"4:4", 0, 0, "", "--workers 4:4 is no range: the second number is to be larger than the first"},
		{"2:65", 0, 0, "", "--workers 2:65 is more than --max-workers 64: give 1 to 64, or raise --max-workers (at most 1024)"},
		{"0:8", 0, 0, "", "--workers 0:8 is out of range: give 1 to 64"},
		{"2:-1", 0, 0, "", "--workers 2:-1 is out of range: give 1 to 64"},
	} {
		l, err := Load(Sources{Flags: map[string][]string{"workers": {test.written}}})
		if test.wrong != "" {
			if err == nil || err.Error() != test.wrong {
				t.Errorf("%s: %v, want %s", test.written, err, test.wrong)
			}
			continue
		}
		if c := l.Config; err != nil || c.Workers != test.low || c.Elastic != test.high || workers.Text(&c) != test.text || c.MostProcesses() != max(test.low, test.high) {
			t.Errorf("%s: %d to %d workers, %q, %v", test.written, c.Workers, c.Elastic, workers.Text(&c), err)
		}
	}
	if err := os.WriteFile(DefaultFile, []byte("workers: 2:8\nmode: inprocess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{}); err == nil || !strings.Contains(err.Error(), "cluster.yaml:1:10: workers 2:8 does not go with mode inprocess (cluster.yaml:2:7): the threads of one process cost little") {
		t.Errorf("%v", err)
	}
	l, err := Load(Sources{Flags: map[string][]string{"mode": {"prefork"}}})
	if err != nil || l.Config.Elastic != 8 {
		t.Errorf("%d, %v", l.Config.Elastic, err)
	}
	// A later source that gives a plain number takes the range back.
	l, err = Load(Sources{Flags: map[string][]string{"mode": {"prefork"}, "workers": {"3"}}})
	if err != nil || l.Config.Elastic != 0 || l.Config.Workers != 3 {
		t.Errorf("%d to %d, %v", l.Config.Workers, l.Config.Elastic, err)
	}
	a, b := Default(), Default()
	b.Elastic = 9
	if taken, changes := Take(a, b); len(changes.Live) != 1 || taken.Elastic != 9 {
		t.Errorf("%+v, up to %d", changes, taken.Elastic)
	}
}
