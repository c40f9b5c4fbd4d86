package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
)

func eventsCommand() *cli.Command {
	return &cli.Command{
		Name: "events", Usage: "show what happened last: workers that came, died or left, restarts, reloads",
		Flags: append(
			controlFlags(),
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with what happens, until the cluster has stopped"},
			&cli.StringFlag{Name: "since", Usage: "only those after the event `ID`, or of this last time: 10m"},
			&cli.BoolFlag{Name: "json", Usage: "an object of JSON each"},
		),
		Before: noArguments,
		Action: events,
	}
}

func events(c *cli.Context) error {
	id, from, err := sinceOf(c.String("since"), time.Now())
	if err != nil {
		return &exitError{plan.ExitUsage, err}
	}
	answer, err := newClient(c).call(c.Context, http.MethodGet, fmt.Sprintf("/v1/events?since=%d&follow=%t", id, c.Bool("follow")), nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	write := eventLines(c.App.Writer, colours(c.App.Writer))
	if c.Bool("json") {
		write = func(line json.RawMessage, _ journal.Event) {
			fmt.Fprintln(c.App.Writer, safeJSON(line))
		}
	}
	return eachEvent(answer, func(line json.RawMessage, e journal.Event) {
		if !e.Time.Before(from) {
			write(line, e)
		}
	})
}

// sinceOf reads the value of --since: the ID of an event, or how long ago.
func sinceOf(text string, now time.Time) (id uint64, from time.Time, err error) {
	if text == "" {
		return 0, from, nil
	}
	if id, err := strconv.ParseUint(text, 10, 64); err == nil {
		return id, from, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return 0, from, fmt.Errorf("--since %q is neither the ID of an event nor a duration: give 1234, or 90s, 10m, 2h", text)
	}
	return 0, now.Add(-ago), nil
}

// eachEvent reads events until the answer ends.
func eachEvent(answer io.Reader, do func(json.RawMessage, journal.Event)) error {
	for lines := json.NewDecoder(answer); ; {
		var line json.RawMessage
		err := lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		var e journal.Event
		if err == nil {
			numbers := json.NewDecoder(strings.NewReader(string(line)))
			numbers.UseNumber() // a pid is no float
			err = numbers.Decode(&e)
		}
		if err != nil {
			return &exitError{plan.ExitFailure, fmt.Errorf("the events end here: the master has ended, or this command was too slow: %w", err)}
		}
		do(line, e)
	}
}

// eventLines writes an event as a line for a person. The last lines of a worker that has died stand indented below.
func eventLines(w io.Writer, colour bool) func(json.RawMessage, journal.Event) {
	codes := map[string]string{"warn": yellow, "error": red}
	return func(_ json.RawMessage, e journal.Event) {
		line := fmt.Sprintf("%s  %-5s  %-16s  %s", e.Time.Local().Format("2006-01-02 15:04:05.000"), wording.Printable(e.Level, false), wording.Printable(e.Name, false), wording.Printable(e.Message, false))
		for _, key := range fieldOrder(e.Fields) {
			value := wording.Printable(fmt.Sprint(e.Fields[key]), false)
			if value == "" || strings.ContainsAny(value, " \"=") {
				value = strconv.Quote(fmt.Sprint(e.Fields[key]))
			}
			line += " " + wording.Printable(key, false) + "=" + value
		}
		if code := codes[e.Level]; colour && code != "" {
			line = code + line + plain
		}
		fmt.Fprintln(w, line)
		output, _ := e.Fields["output"].([]any)
		for _, text := range output {
			fmt.Fprintln(w, "    | "+wording.Printable(fmt.Sprint(text), false))
		}
	}
}

// fieldOrder are the fields that fit in a line: those that many events have first.
func fieldOrder(fields map[string]any) []string {
	first := []string{"err", "reason", "generation", "pid", "seat", "slot"} // backwards, so that -1 of an unknown one is last
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(fields)), func(key string) bool { return key == "output" })
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(first, b), slices.Index(first, a)), cmp.Compare(a, b))
	})
	return keys
}

// safeJSON escapes the control characters that JSON leaves as they are: U+007F to U+009F, in texts only.
func safeJSON(line json.RawMessage) string {
	var b strings.Builder
	for _, r := range string(line) {
		if unicode.IsControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
