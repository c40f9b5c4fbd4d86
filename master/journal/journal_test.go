package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func ids(events []Event) (all []uint64) {
	for _, e := range events {
		all = append(all, e.ID)
	}
	return all
}

func TestSince(t *testing.T) {
	t.Parallel()
	j := New(3)
	if got := j.Since(0); len(got) != 0 {
		t.Errorf("an empty journal has %v", got)
	}
	for range 5 {
		j.add(Event{Name: "n"})
	}
	for _, test := range []struct {
		since uint64
		want  []uint64
		lost  any
	}{
		{0, []uint64{3, 4, 5}, nil},
		{1, []uint64{2, 3, 4, 5}, uint64(1)},
		{2, []uint64{3, 4, 5}, nil},
		{4, []uint64{5}, nil},
		{5, nil, nil},
		{77, []uint64{3, 4, 5}, nil}, // of a master before this one
	} {
		got := j.Since(test.since)
		if !reflect.DeepEqual(ids(got), test.want) {
			t.Errorf("since %d: %v, want %v", test.since, ids(got), test.want)
		}
		if test.lost != nil && (got[0].Name != EventsLost || got[0].Fields["lost"] != test.lost) {
			t.Errorf("since %d: the first is %+v", test.since, got[0])
		}
	}
}

// Large events push more of the old ones out, so that the memory is bounded; the newest one stays.
func TestBytes(t *testing.T) {
	t.Parallel()
	j := New(1000)
	log := slog.New(j.Handler(slog.DiscardHandler))
	line := strings.Repeat("x", maxLine)
	lines := make(Output, maxLines)
	for i := range lines {
		lines[i] = line
	}
	for range 400 {
		log.Info("m", Key, "n", "output", lines)
	}
	kept, total := j.Since(0), 0
	for _, e := range kept {
		total += e.cost()
	}
	if total > maxBytes || total < maxBytes/2 || total != j.bytes || kept[len(kept)-1].ID != 400 {
		t.Errorf("%d events of %d bytes (counted %d) are kept, the last is %d", len(kept), total, j.bytes, kept[len(kept)-1].ID)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := New(100)
		for range 3 {
			j.add(Event{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		got, taken := []uint64{}, make(chan struct{})
		go func() {
			for e := range j.Follow(ctx, 1) {
				got = append(got, e.ID)
				if e.ID == 4 {
					time.Sleep(time.Hour) // it falls behind
				}
			}
			close(taken)
		}()
		synctest.Wait()
		j.add(Event{})
		synctest.Wait()
		for range 150 { // 5 to 154, of which 55 to 154 are kept
			j.add(Event{})
		}
		time.Sleep(2 * time.Hour)
		j.add(Event{})
		cancel() // what has happened is given first
		<-taken
		want := []uint64{2, 3, 4, 54}
		for id := range uint64(101) {
			want = append(want, 55+id)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the follower saw %v, want %v", got, want)
		}
		for e := range j.Follow(t.Context(), 150) {
			if e.ID != 151 {
				t.Errorf("the first is %d", e.ID)
			}
			break // ends it
		}
	})
}

type secret struct{ a int }

// What has a name is recorded whatever the level; the log gets what its level allows, without what is for the journal only.
func TestHandler(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := New(10)
	log := slog.New(j.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	log.Debug("quiet", "slot", 3, Key, WorkerStarted)
	log.Error("no event", "slot", 3)
	many := make(Output, 25)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	many[24] = strings.Repeat("y", 2000)
	log.With("a", 1).WithGroup("g").With("b", true).Warn("loud", "d", 1500*time.Millisecond, slog.Group("h", "u", uint64(7)))
	log.With(Key, WorkerDied, "pid", 12).Error(strings.Repeat("ü", 4000), "err", errors.New("it broke\x1b[2J"), "d", 1500*time.Millisecond, "nil", nil, "list", []int{1},
		"secret", secret{4}, slog.Group("g", "u", uint64(7)), "at", time.Unix(0, 0).UTC(), "output", many)

	wantLog := "level=ERROR msg=\"no event\" slot=3\nlevel=WARN msg=loud a=1 g.b=true g.d=1.5s g.h.u=7\nlevel=ERROR msg=" + strings.Repeat("ü", 4000) +
		" event=worker_died pid=12 err=\"it broke\\x1b[2J\" d=1.5s nil=<nil> list=[1] secret={a:4} g.u=7 at=1970-01-01T00:00:00.000Z\n"
	if out.String() != wantLog {
		t.Errorf("the log is\n%q, want\n%q", out.String(), wantLog)
	}
	events := j.Since(0)
	if len(events) != 2 {
		t.Fatalf("events are %+v", events)
	}
	if e := events[0]; e.Name != WorkerStarted || e.Level != "debug" || e.Message != "quiet" || !reflect.DeepEqual(e.Fields, map[string]any{"slot": int64(3)}) || time.Since(e.Time) > time.Minute {
		t.Errorf("the first is %+v", e)
	}
	e := events[1]
	if len(e.Message) > maxText || !utf8.ValidString(e.Message) || !strings.HasSuffix(e.Message, "üü…") {
		t.Errorf("the message has %d bytes and ends in %q", len(e.Message), e.Message[len(e.Message)-10:])
	}
	output := e.Fields["output"].([]string)
	delete(e.Fields, "output")
	if len(output) != maxLines || output[0] != "5" || len(output[19]) != maxLine {
		t.Errorf("the output is %q", output)
	}
	want := map[string]any{"pid": int64(12), "err": "it broke\x1b[2J", "d": "1.5s", "nil": "<nil>", "list": "[1]", "secret": "{4}", "g.u": uint64(7), "at": "1970-01-01T00:00:00Z"}
	if e.Name != WorkerDied || e.Level != "error" || !reflect.DeepEqual(e.Fields, want) {
		t.Errorf("the second is %+v, want fields %v", e, want)
	}
	if _, err := json.Marshal(events); err != nil {
		t.Error(err)
	}
}
