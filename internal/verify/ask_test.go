package verify

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAsk(t *testing.T) {
	for _, ask := range []Ask{{ID: "0001-000002-000003"}, {ID: "a", Answer: 120 << 10, Wait: 20 * time.Millisecond, Stream: true}} {
		if got, err := ParseAsk(ask.Path()); err != nil || got != ask {
			t.Errorf("%s is %+v, %v", ask.Path(), got, err)
		}
	}
	for _, path := range []string{"", "/", "/echo/", "/echo/a/1/2", "/echo//1/2/0", "/echo/a/1/2/3", "/echo/a/-1/2/0", "/echo/a/1/x/0", "/echo/a/1/2/0/0", "/other/a/1/2/0"} {
		if ask, err := ParseAsk(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q is %+v, %v", path, ask, err)
		}
	}
}

func TestPattern(t *testing.T) {
	long := Pattern("0001-000002-000003", 1000)
	for _, n := range []int{0, 1, 7, 8, 9, 1000} {
		if got := Pattern("0001-000002-000003", n); !bytes.Equal(got, long[:n]) {
			t.Errorf("%d bytes are not the first of 1000", n)
		}
	}
	same := 0
	for i, b := range Pattern("0001-000002-000004", 1000) {
		if b == long[i] {
			same++
		}
	}
	if same > 20 {
		t.Errorf("%d of 1000 bytes are those of another id", same)
	}
}

// Every place in a request comes once before one comes again.
func TestPlaces(t *testing.T) {
	var p places
	for i := range 9 {
		if got, want := p.next(5), 1+i%4; got != want {
			t.Errorf("place %d is %d, want %d", i, got, want)
		}
		if got, want := p.tell(), (Splits{Seen: min(i+1, 4), Places: 4}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestReport(t *testing.T) {
	for fate := range fates {
		if fate.String() == "" || strings.HasPrefix(fate.String(), "fate") {
			t.Errorf("fate %d is called %q", int(fate), fate)
		}
	}
	c := &client{}
	k := &conn{port: 40, pid: 9}
	c.note(k, Fault{Fate: Right})
	c.note(k, Fault{Fate: Unanswered, ID: "id", Doing: "asking", Err: errors.New("EOF")})
	c.note(k, Fault{Fate: Unanswered, Err: errors.New("behind it")}) // the connection is severed once
	var total Report
	total.Merge(&c.report)
	total.Merge(&Report{Requests: 2, Opened: 3, Moved: 4, Counts: [fates]int64{Right: 2, Closing: 1}, SeveredBy: map[int]int64{0: 1}, Severed: 1})
	if total.Requests != 5 || total.Severed != 2 || total.SeveredBy[9] != 1 || total.Losses() != 2 || total.Closes() != 1 || total.Wrongs() != 0 {
		t.Error(&total)
	}
	for _, part := range []string{
		"5 requests on 3 connections, which changed workers 4 times: right 3, closing 1, unanswered 2; 2 connections severed",
		" unanswered: asking, request id, port 40, last answer by 9, after 0s: EOF",
	} {
		if !strings.Contains(total.String(), part) {
			t.Errorf("%v\nhas no %q", &total, part)
		}
	}
}
