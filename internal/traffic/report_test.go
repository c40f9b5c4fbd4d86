package traffic

import (
	"errors"
	"maps"
	"testing"
	"time"
)

func TestOutcomeString(t *testing.T) {
	seen := map[string]bool{}
	for outcome := range outcomes {
		name := outcome.String()
		if name == "" || seen[name] {
			t.Errorf("outcome %d is called %q", int(outcome), name)
		}
		seen[name] = true
	}
	if got := Outcome(99).String(); got != "outcome 99" {
		t.Errorf("unknown outcome: %q", got)
	}
}

func TestReport(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, second := Report{Opened: 1}, Report{Opened: 2}
	for i := range 30 { // interleaved in time, so that the 20 first come from both
		report := &first
		if i%2 == 1 {
			report = &second
		}
		report.add(Answer{
			Outcome: Reset, Conn: 1, Port: 4000, Request: i + 1, Body: []byte("x"),
			Started: at, Ended: at.Add(time.Duration(i) * time.Second), Err: errors.New("read: connection reset by peer"),
		})
	}
	first.add(Answer{Outcome: OK, Status: 200})
	second.add(Answer{Outcome: OK, Status: 404})
	second.add(Answer{Outcome: ClosedIdle})
	second.add(Answer{Outcome: Error5xx, Status: 503, Ended: at.Add(time.Hour)})

	var total Report
	total.Merge(first)
	total.Merge(second)
	want(t, total, 3, map[Outcome]int64{OK: 2, Reset: 30, Error5xx: 1, ClosedIdle: 1})
	if classes := map[string]int64{"2xx": 1, "4xx": 1, "5xx": 1}; !maps.Equal(total.ClassCounts, classes) {
		t.Errorf("classes %v, want %v", total.ClassCounts, classes)
	}
	if len(total.LossList) != maxListed {
		t.Fatalf("%d losses listed", len(total.LossList))
	}
	for i, loss := range total.LossList {
		if loss.Request != i+1 || loss.Body != nil {
			t.Errorf("loss %d in the list: %+v", i, loss)
		}
	}
	if first.Losses() != 15 || len(first.LossList) != 15 {
		t.Errorf("merging changed what was merged: %v", first)
	}
}

func TestReportString(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	var r Report
	r.Opened = 2
	r.add(Answer{Outcome: OK, Status: 200})
	if got, want := r.String(), "1 requests on 2 connections, 0 lost: ok 1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.add(Answer{Outcome: Refused, Started: at, Ended: at.Add(time.Millisecond), Err: errors.New("connection refused")})
	r.add(Answer{
		Outcome: Truncated, Status: 200, Conn: 2, Port: 4000, Request: 3,
		Started: at, Ended: at.Add(2 * time.Millisecond), Err: errors.New("unexpected EOF"),
	})
	want := `3 requests on 2 connections, 2 lost: ok 1, refused 1, truncated 1
  03:04:05.001006 refused: no connection, after 1ms: connection refused
  03:04:05.002006 truncated: connection 2 (port 4000), request 3 on it, after 2ms, status 200: unexpected EOF`
	if got := r.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Counts[Reset] += 5
	if got := r.String(); got[len(got)-len("\n  and 5 more"):] != "\n  and 5 more" {
		t.Errorf("got %s", got)
	}
}
