package load

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// wrk is wrk 4.1 with one thread.
type wrk struct{}

func (wrk) program() (name, debian string) { return "wrk", "wrk" }

func (wrk) refuse(p Plan) string {
	if p.Requests > 0 {
		return "cannot stop after a number of requests"
	}
	return oddSeconds(p)
}

func (wrk) arguments(p Plan, length time.Duration, dir, url string) ([]string, error) {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) + "s" }
	arguments := []string{
		"-t1", "-c", strconv.Itoa(p.Connections), "-d", seconds(length), "--timeout", seconds(p.Timeout), "--latency",
	}
	if p.Fresh {
		arguments = append(arguments, "-H", "Connection: close")
	}
	if p.Body > 0 {
		script := filepath.Join(dir, "post.lua")
		text := fmt.Sprintf("wrk.method = 'POST'\nwrk.body = string.rep('x', %d)\nwrk.headers['Content-Type'] = 'application/octet-stream'\n", p.Body)
		if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
			return nil, err
		}
		arguments = append(arguments, "-s", script)
	}
	return append(arguments, url), nil
}

func (wrk) gaveUp(output string) (o outcome, why string) {
	line, _, _ := strings.Cut(output, "\n")
	if !strings.HasPrefix(line, "unable to connect to") {
		return ok, ""
	}
	return refused, line
}

const wrkNote = "wrk tells neither requests that were under way at its end, nor p99.9, nor 4xx from 5xx; its read errors (counted as reset) are " +
	"every way in which no whole answer came; its timeouts are answers that came too late; connecting is not in its latency"

var (
	wrkTotal  = pattern(`(?m)^ +(\d+) requests in +(\S+), +(\S+) read$`)
	wrkStats  = pattern(`(?m)^ +Latency +(\S+) +(\S+) +(\S+) +\S+%$`)
	wrkErrors = pattern(`(?m)^ +Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$`)
	wrkStatus = pattern(`(?m)^ +Non-2xx or 3xx responses: (\d+)$`)
	wrkTable  = pattern(`(?m)^ +(50|75|90|99)% +(\S+)$`)
)

func (wrk) parse(_ Plan, output, _ string) (Result, error) {
	total, stats, table := wrkTotal().FindStringSubmatch(output), wrkStats().FindStringSubmatch(output), wrkTable().FindAllStringSubmatch(output, -1)
	if total == nil || stats == nil || len(table) != 4 {
		return Result{}, errors.New("the lines of requests, latency and percentiles are not all there")
	}
	var problems []error
	count := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		problems = append(problems, err)
		return n
	}
	amount := func(text string, units map[string]float64) float64 {
		v, err := wrkAmount(text, units)
		problems = append(problems, err)
		return v
	}
	elapsed := func(text string) time.Duration { return time.Duration(math.Round(amount(text, wrkTimes))) }

	var connect, read, write, late, bad int64
	if m := wrkErrors().FindStringSubmatch(output); m != nil {
		connect, read, write, late = count(m[1]), count(m[2]), count(m[3]), count(m[4])
	}
	if m := wrkStatus().FindStringSubmatch(output); m != nil {
		bad = count(m[1])
	}
	answered := count(total[1]) - late
	r := Result{
		Elapsed: elapsed(total[2]), Answered: answered, Bytes: int64(math.Round(amount(total[3], wrkBytes))), Note: wrkNote,
		Outcomes: withoutZeros(map[string]int64{
			ok.String(): max(0, answered-bad), badStatus.String(): bad, refused.String(): connect, reset.String(): read + write, timeout.String(): late,
		}),
		Latency: Distribution{Count: answered, Mean: elapsed(stats[1]), SD: elapsed(stats[2]), Max: elapsed(stats[3])},
	}
	for _, row := range table {
		switch row[1] {
		case "50":
			r.Latency.P50 = elapsed(row[2])
		case "90":
			r.Latency.P90 = elapsed(row[2])
		case "99":
			r.Latency.P99 = elapsed(row[2])
		}
	}
	if failed := connect + read + write + late + bad; failed > 0 {
		r.First = fmt.Sprintf("wrk: connect errors %d, read %d, write %d, timeouts %d, statuses of 400 or more %d", connect, read, write, late, bad)
	}
	return r, errors.Join(problems...)
}

// Units of src/units.c in wrk. Sizes are powers of 1024.
var (
	wrkTimes = map[string]float64{
		"us": float64(time.Microsecond), "ms": float64(time.Millisecond), "s": float64(time.Second),
		"m": float64(time.Minute), "h": float64(time.Hour),
	}
	wrkBytes = map[string]float64{"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40, "PB": 1 << 50}
)

// wrkAmount reads an amount such as 6.88MB.
func wrkAmount(text string, units map[string]float64) (float64, error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	v, err := strconv.ParseFloat(number, 64)
	unit, known := units[text[len(number):]]
	if err != nil || !known {
		return 0, fmt.Errorf("%q is no amount with one of wrk's units", text)
	}
	return v * unit, nil
}
