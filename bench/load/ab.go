package load

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ab is ApacheBench 2.3.
type ab struct{}

func (ab) program() (name, debian string) { return "ab", "apache2-utils" }

func (ab) refuse(p Plan) string {
	if p.Requests > 0 && p.Requests < p.Connections {
		return fmt.Sprintf("cannot send %d requests on %d connections", p.Requests, p.Connections)
	}
	return oddSeconds(p)
}

// abMost requests a second are more than ab can make. It keeps room for all requests that it may send, so the number is
// not simply the largest.
const abMost = 200_000

func (ab) arguments(p Plan, length time.Duration, dir, url string) ([]string, error) {
	seconds := func(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
	arguments := []string{"-q", "-l", "-r", "-c", strconv.Itoa(p.Connections), "-s", strconv.Itoa(seconds(p.Timeout)), "-e", filepath.Join(dir, abTimes)}
	if length > 0 { // -n must stand behind -t, which sets it to 50,000
		requests := max(p.Connections, abMost*seconds(length))
		arguments = append(arguments, "-t", strconv.Itoa(seconds(length)), "-n", strconv.Itoa(requests))
	} else {
		arguments = append(arguments, "-n", strconv.Itoa(p.Requests))
	}
	if !p.Fresh {
		arguments = append(arguments, "-k")
	}
	if p.Body > 0 {
		body := filepath.Join(dir, "body")
		if err := os.WriteFile(body, bytes.Repeat([]byte("x"), p.Body), 0o600); err != nil {
			return nil, err
		}
		arguments = append(arguments, "-p", body, "-T", "application/octet-stream")
	}
	return append(arguments, url), nil
}

const abTimes = "times.csv"

// gaveUp: ab ends so when the server keeps it waiting for longer than its timeout, and after it failed ten times to connect.
func (ab) gaveUp(output string) (o outcome, why string) {
	m := abGaveUp().FindStringSubmatch(output)
	switch {
	case m == nil || strings.Contains(output, "Complete requests:"):
		return ok, ""
	case m[1] == "pollset_poll":
		return timeout, m[2]
	}
	return refused, m[2]
}

const abNote = "ab speaks HTTP/1.0; it tells neither requests that were under way at its end, nor p99.9, nor 4xx from 5xx (3xx are with them); its " +
	"failed receives (counted as reset) are every way in which no whole answer came, and their times are in its latency; its mean is " +
	"connections × elapsed / requests; a timeout ends it"

var (
	abGaveUp    = pattern(`(?m)apr_(pollset_poll|socket_connect)(?:\(\))?: (.*)$`)
	abField     = pattern(`(?m)^(Time taken for tests|Complete requests|Non-2xx responses|Total transferred): +(\S+)`)
	abMean      = pattern(`(?m)^Time per request: +(\S+) \[ms\] \(mean\)$`)
	abTotal     = pattern(`(?m)^Total: +\d+ +\d+ +([\d.]+) +\d+ +\d+$`)
	abBreakdown = pattern(`\(Connect: (\d+), Receive: (\d+), Length: \d+, Exceptions: (\d+)\)`)
)

func (ab) parse(_ Plan, output, dir string) (Result, error) {
	times, err := os.ReadFile(filepath.Join(dir, abTimes))
	if err != nil {
		return Result{}, fmt.Errorf("its table of times: %w", err)
	}
	return parseAB(output, times)
}

// parseAB reads ab's report, and the table of times of -e, which is in µs where that of the report is in ms.
func parseAB(output string, times []byte) (Result, error) {
	var problems []error
	value := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		problems = append(problems, err)
		return v
	}
	fields := map[string]float64{}
	for _, m := range abField().FindAllStringSubmatch(output, -1) {
		fields[m[1]] = value(m[2])
	}
	mean, total := abMean().FindStringSubmatch(output), abTotal().FindStringSubmatch(output)
	if _, known := fields["Complete requests"]; !known || mean == nil || total == nil {
		return Result{}, errors.New("the lines of requests, time per request and total times are not all there")
	}
	percentiles, err := abPercentiles(times)
	problems = append(problems, err)
	// With fewer than 50 requests ab's p99 lies behind the end of what it measured.
	at := func(percentage int) time.Duration { return min(percentiles[percentage], percentiles[100]) }

	var connect, broken int64
	if m := abBreakdown().FindStringSubmatch(output); m != nil {
		// A reset is a failed receive and an exception at once.
		connect, broken = int64(value(m[1])), int64(max(value(m[2]), value(m[3])))
	}
	bad := int64(fields["Non-2xx responses"])
	complete := int64(fields["Complete requests"]) // with what failed
	answered := max(0, complete-broken)
	r := Result{
		Elapsed: time.Duration(math.Round(fields["Time taken for tests"] * float64(time.Second))), Answered: answered,
		Bytes: int64(fields["Total transferred"]), Note: abNote,
		Outcomes: withoutZeros(map[string]int64{
			ok.String(): max(0, answered-bad), badStatus.String(): bad, refused.String(): connect, reset.String(): broken,
		}),
		Latency: Distribution{
			Count: complete, Mean: millis(value(mean[1])), SD: millis(value(total[1])),
			P50: at(50), P90: at(90), P99: at(99), Max: at(100),
		},
	}
	if connect+broken+bad > 0 {
		r.First = fmt.Sprintf("ab: failed to connect %d, to receive %d, statuses other than 2xx %d", connect, broken, bad)
	}
	return r, errors.Join(problems...)
}

// abPercentiles reads a table with the columns percentage and milliseconds.
func abPercentiles(table []byte) (map[int]time.Duration, error) {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("its table of times: %w", err)
	}
	percentiles := map[int]time.Duration{}
	for _, row := range rows[min(1, len(rows)):] {
		if len(row) != 2 {
			return nil, fmt.Errorf("a row of its table of times: %q", row)
		}
		percentage, err := strconv.Atoi(row[0])
		ms, notNumber := strconv.ParseFloat(row[1], 64)
		if err != nil || notNumber != nil {
			return nil, fmt.Errorf("a row of its table of times: %q", row)
		}
		percentiles[percentage] = millis(ms)
	}
	if _, known := percentiles[100]; !known {
		return nil, errors.New("its table of times has no end")
	}
	return percentiles, nil
}

func millis(ms float64) time.Duration {
	return time.Duration(math.Round(ms * float64(time.Millisecond)))
}
