package traffic

import (
	"fmt"
	"slices"
	"strings"
)

const maxListed = 20

// Report is what became of all requests. Requests is the sum of Counts without ClosedIdle.
type Report struct {
	Requests int64
	Opened   int64           // connections
	Counts   [outcomes]int64 // by Outcome

	// ClassCounts has the answers by class of status, "1xx" to "5xx", as the cluster's metrics do. An answer counts
	// once its head came, whether or not the rest did.
	ClassCounts map[string]int64

	LossList []Answer // the first 20 losses, in the order in which they ended, without bodies
}

// Losses is the number of requests that a client which may not repeat them would have lost.
func (r Report) Losses() int {
	var n int64
	for outcome, count := range r.Counts {
		if Outcome(outcome).Lost() {
			n += count
		}
	}
	return int(n)
}

// Merge adds what other clients saw at the same time.
func (r *Report) Merge(other Report) {
	r.Requests += other.Requests
	r.Opened += other.Opened
	for outcome, count := range other.Counts {
		r.Counts[outcome] += count
	}
	for class, count := range other.ClassCounts {
		r.class(class, count)
	}
	list := slices.Concat(r.LossList, other.LossList)
	slices.SortStableFunc(list, func(a, b Answer) int { return a.Ended.Compare(b.Ended) })
	r.LossList = list[:min(len(list), maxListed)]
}

// String is the counts on one line, then one line for each listed loss.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests on %d connections, %d lost", r.Requests, r.Opened, r.Losses())
	separator := ": "
	for outcome, count := range r.Counts {
		if count != 0 {
			fmt.Fprintf(&b, "%s%s %d", separator, Outcome(outcome), count)
			separator = ", "
		}
	}
	for _, loss := range r.LossList {
		b.WriteString("\n  " + loss.describe())
	}
	if more := r.Losses() - len(r.LossList); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

func (r *Report) add(a Answer) {
	r.Counts[a.Outcome]++
	if a.Outcome != ClosedIdle {
		r.Requests++
	}
	if a.Status != 0 {
		r.class(fmt.Sprintf("%dxx", a.Status/100), 1)
	}
	if a.Outcome.Lost() && len(r.LossList) < maxListed {
		a.Body = nil
		r.LossList = append(r.LossList, a)
	}
}

func (r *Report) class(class string, count int64) {
	if r.ClassCounts == nil {
		r.ClassCounts = map[string]int64{}
	}
	r.ClassCounts[class] += count
}
