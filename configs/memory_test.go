package configs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeastMemory(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "3000\n", "c/memory.max": "9000\n"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		machine    int64
		membership string
		want       int64
	}{
		{5000, "0::/a/b\n", 3000},
		{2000, "0::/a/b\n", 2000},
		{5000, "0::/c\n", 5000},
		{5000, "4:memory:/a\n0::/\n", 5000},
		{5000, "", 5000},
		{0, "0::/a\n", 3000},
		{0, "", 0},
	} {
		if got := leastMemory(test.machine, root, test.membership); got != test.want {
			t.Errorf("machine %d, %q: %d, want %d", test.machine, test.membership, got, test.want)
		}
	}
	if got := totalMemory("MemTotal:       24676056 kB\nMemFree: 1 kB\n"); got != 24676056<<10 {
		t.Errorf("%d bytes", got)
	}
}
