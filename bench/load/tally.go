package load

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// outcome is what became of one request, or of one idle connection (closedIdle).
type outcome uint8

const (
	ok         outcome = iota // a whole answer with a status below 400
	status4xx                 // a whole answer with such a status
	status5xx                 // the same, with 500 or more
	refused                   // no connection came about
	reset                     // reset after the request was begun, before any byte of an answer
	empty                     // closed after the request was begun, before any byte of an answer
	truncated                 // closed or reset within an answer
	timeout                   // Plan.Timeout passed before the answer was whole
	garbled                   // not HTTP, or bytes that belong to no answer
	closedIdle                // a connection that was kept was closed without notice before the next request was begun; no loss
	badStatus                 // 400 or more: what wrk and ab do not tell apart
	abandoned                 // of the warm-up, and still without an answer when the load ended

	outcomes // how many there are
)

var outcomeNames = [outcomes]string{
	ok: "ok", status4xx: "4xx", status5xx: "5xx", refused: "refused", reset: "reset", empty: "empty", truncated: "truncated",
	timeout: "timeout", garbled: "garbled", closedIdle: "closed_idle", badStatus: "4xx_5xx", abandoned: "abandoned",
}

func (o outcome) String() string { return outcomeNames[o] }

// judge is the outcome of a whole answer.
func judge(status int) outcome {
	switch {
	case status >= 500:
		return status5xx
	case status >= 400:
		return status4xx
	}
	return ok
}

// tally counts what became of the requests of a load.
type tally struct {
	outcomes [outcomes]int64 // of what counts
	total    [outcomes]int64 // of all requests
	answered int64
	bytes    int64
	latency  spread
	wait     *spread // nil if no service time is asked for
	late     Late
	first    string
}

func newTally(p Plan) *tally {
	t := &tally{latency: newSpread()}
	if p.Service.Kind != "" {
		wait := newSpread()
		t.wait = &wait
	}
	return t
}

// lateness is what a person would call late, in an open loop.
const lateness = time.Millisecond

// send is told how long after its time a request was sent, and whether a connection was free at its time.
func (t *tally) send(behind time.Duration, free bool) {
	t.late.Sent++
	t.late.Max = max(t.late.Max, behind)
	if behind > lateness {
		t.late.Late++
		if free {
			t.late.Slow++
		}
	}
}

// answer is told a whole answer.
func (t *tally) answer(o outcome, latency, service time.Duration, bytes int64) {
	t.outcomes[o]++
	t.answered++
	t.bytes += bytes
	t.latency.record(latency)
	if t.wait != nil {
		t.wait.record(max(0, latency-service))
	}
}

// fail keeps the first failure for a person.
func (t *tally) fail(at time.Duration, o outcome, why string) {
	if t.first == "" {
		t.first = fmt.Sprintf("%s, %s after counting began: %s", o, at.Round(time.Microsecond), why)
	}
}

// result leaves out what the generator itself has to say.
func (t *tally) result() Result {
	r := Result{
		Answered: t.answered, Outcomes: named(t.outcomes), Total: named(t.total), Bytes: t.bytes, Latency: t.latency.distribution(), First: t.first,
	}
	if t.wait != nil {
		wait := t.wait.distribution()
		r.Wait = &wait
	}
	return r
}

func named(counts [outcomes]int64) map[string]int64 {
	byName := map[string]int64{}
	for o, n := range counts {
		if n > 0 {
			byName[outcome(o).String()] = n
		}
	}
	return byName
}

// spread gathers times: the percentiles by an HdrHistogram, mean and standard deviation exactly (by Welford's method,
// https://doi.org/10.1080/00401706.1962.10490022).
type spread struct {
	histogram *hdrhistogram.Histogram
	n         float64
	mean      float64 // ns
	squares   float64 // sum of the squared distances from the mean
	max       time.Duration
}

// The histograms' unit is the microsecond, and every value keeps three significant digits.
const (
	histogramUnit   = time.Microsecond
	histogramMax    = int64(2 * maxTimeout / histogramUnit)
	histogramDigits = 3
)

func newSpread() spread { return spread{histogram: hdrhistogram.New(1, histogramMax, histogramDigits)} }

func (s *spread) record(d time.Duration) {
	micros := int64((d + histogramUnit/2) / histogramUnit)
	_ = s.histogram.RecordValue(min(micros, histogramMax)) // fails only outside its range
	s.n++
	away := float64(d) - s.mean
	s.mean += away / s.n
	s.squares += away * (float64(d) - s.mean)
	s.max = max(s.max, d)
}

func (s *spread) distribution() Distribution {
	if s.n == 0 {
		return Distribution{}
	}
	// The histogram answers with the upper end of a bucket, which can lie above everything that was recorded.
	at := func(percentile float64) time.Duration {
		return min(time.Duration(s.histogram.ValueAtPercentile(percentile))*histogramUnit, s.max)
	}
	encoded, err := s.histogram.EncodeV2()
	if err != nil {
		panic(err) // it writes into memory
	}
	return Distribution{
		Count: int64(s.n),
		Mean:  time.Duration(math.Round(s.mean)),
		P50:   at(50),
		P90:   at(90),
		P99:   at(99),
		P999:  at(99.9),
		Max:   s.max,
		SD:    time.Duration(math.Round(math.Sqrt(s.squares / s.n))),
		HDR:   string(encoded),
	}
}

// Decode makes the histogram of Distribution.HDR again, in µs, so that runs can be merged or other percentiles read. It
// fails for a text that is not HdrHistogram's V2 compressed encoding in base64, the empty one too: a tool such as wrk gives none.
func Decode(hdr string) (*hdrhistogram.Histogram, error) {
	if hdr == "" {
		return nil, errors.New("no histogram: the tool that made the load gave none")
	}
	h, err := hdrhistogram.Decode([]byte(hdr))
	if err != nil {
		return nil, fmt.Errorf("cannot decode a histogram: %w", err)
	}
	return h, nil
}
