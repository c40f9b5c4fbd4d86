package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"

	"github.com/prefork/cluster/bench/record"
)

// units are the figures in the units of the Go benchmark format, which knows seconds (written ns) and bytes. ns/op is the time
// of the load divided by the answered requests.
var units = []struct {
	figure, unit, better string
	of                   func(float64) float64
}{
	{"rate", "ns/op", "lower", func(rate float64) float64 { return 1e9 / rate }},
	{"rate", "req/s", "higher", func(rate float64) float64 { return rate }},
	{"cpu", "cpu-ns/op", "lower", func(µs float64) float64 { return µs * 1e3 }},
	{"p50", "p50-ns", "lower", func(ms float64) float64 { return ms * 1e6 }},
	{"p99", "p99-ns", "lower", func(ms float64) float64 { return ms * 1e6 }},
	{"p999", "p99.9-ns", "lower", func(ms float64) float64 { return ms * 1e6 }},
	{"sum_pss", "PSS-bytes", "lower", func(mib float64) float64 { return mib * (1 << 20) }},
	{"ready", "ready-ns", "lower", func(ms float64) float64 { return ms * 1e6 }},
	{"lost", "lost", "lower", func(n float64) float64 { return n }},
}

// Benchfmt writes the trials in the Go benchmark format (https://golang.org/design/14313-benchmark-format) for benchstat, a
// line each: Benchmark<Suite>/<cell>/<step>. Failed trials are left out, and a base that was measured again in its round,
// because values of one round depend on each other and benchstat takes them as if they did not. Two versions are compared by
// benchstat -ignore commit OLD NEW: it keeps results apart whose configuration differs.
func Benchfmt(w io.Writer, run record.Run, trials []record.Trial) error {
	out := benchfmt.NewWriter(w)
	for _, u := range units {
		metadata := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Key: "better"}, OrigUnit: u.unit, Value: u.better}
		if err := out.Write(metadata); err != nil {
			return fmt.Errorf("the benchmark format was not written: %w", err)
		}
	}
	var config []benchfmt.Config
	for _, c := range [][2]string{
		{"goos", "linux"}, // no other system can be measured
		{"cpu", run.CPU},
		{"cpus", strconv.Itoa(run.CPUs)},
		{"kernel", run.Kernel},
		{"go", run.Go},
		{"commit", run.Commit},
	} {
		if c[1] != "" {
			config = append(config, benchfmt.Config{Key: c[0], Value: []byte(c[1]), File: true})
		}
	}
	for _, t := range trials {
		if t.Failed != "" || t.Again {
			continue
		}
		result := &benchfmt.Result{Config: config, Iters: 1, Name: benchmarkName(t, run.CPUs)}
		if n, ok := answered(t); ok {
			result.Iters = int(n)
		}
		for _, u := range units {
			f, _ := Lookup(u.figure)
			if value, ok := f.Of(t); ok {
				result.Values = append(result.Values, benchfmt.Value{Value: u.of(value), Unit: u.unit})
			}
		}
		if len(result.Values) == 0 {
			continue
		}
		if err := out.Write(result); err != nil {
			return fmt.Errorf("the benchmark format was not written: %w", err)
		}
	}
	return nil
}

// benchmarkName begins with a capital letter and has no spaces; the number behind the last hyphen is that of the CPUs.
func benchmarkName(t record.Trial, cpus int) benchfmt.Name {
	part := func(text string) string {
		return strings.Map(func(r rune) rune {
			if r == '/' || unicode.IsSpace(r) {
				return '_'
			}
			return r
		}, strings.Trim(text, "/ "))
	}
	first, size := utf8.DecodeRuneInString(t.Suite)
	return benchfmt.Name(fmt.Sprintf("%c%s/%s/%s-%d", unicode.ToUpper(first), part(t.Suite[size:]), part(t.Cell), part(t.Step), cpus))
}
