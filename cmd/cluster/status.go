package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/metrics/rates"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show the workers: state, threads, requests, memory, last deaths",
		Flags:  append(controlFlags(), &cli.BoolFlag{Name: "json", Usage: "everything, as JSON"}),
		Before: noArguments,
		Action: status,
	}
}

func status(c *cli.Context) error {
	var s api.Status
	if err := newClient(c).get(c.Context, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return err
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	show(c.App.Writer, s, colours(c.App.Writer))
	return nil
}

// colours reports whether w is a terminal whose user has not set NO_COLOR (no-color.org).
func colours(w io.Writer) bool {
	_, terminal := columns(w)
	return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// columns is how wide a terminal is, 0 if it does not know, and whether w is a terminal.
func columns(w io.Writer) (int, bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	window, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return int(window.Col), true
}

var (
	span = wording.Span
	size = wording.Size
)

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

// show writes the status for a person. Colour is added to whole lines after they were aligned, so that it does not
// count as width.
func show(w io.Writer, s api.Status, colour bool) {
	paint := func(code, line string) string {
		if !colour || code == "" {
			return line
		}
		return code + line + plain
	}
	together, owner := "", "worker"
	if s.InProcess() {
		together, owner = " in one process", "process"
	}
	fmt.Fprintf(w, "cluster %q is %s: %d workers × %d threads%s, generation %d, up %s, master pid %d (%s)\n",
		s.Name, s.State, s.Workers, s.Threads, together, s.Generation, span(time.Since(s.Started).Seconds()), s.PID, size(s.Memory.PSS))
	program := s.Program
	if s.ByPath {
		program += " (a script, run by its path)"
	}
	fmt.Fprintf(w, "serving %s on %s", program, strings.Join(s.Binds, " "))
	if s.Metrics != "" {
		fmt.Fprintf(w, ", metrics on http://%s/metrics", s.Metrics)
	}
	if fit := s.Limits.Connections(); fit >= 0 && fit < process.FewConnections {
		fmt.Fprintf(w, "\n%s", paint(yellow, fmt.Sprintf("room for %d connections a %s: %v", fit, owner, s.Limits)))
	}
	if f := s.Front; f != nil {
		line := fmt.Sprintf("front (%s) is %s: pid %d, up %s, %d restarts (%s)", f.Dispatch, f.State, f.PID, span(f.Uptime), f.Restarts, size(f.Memory.PSS))
		code := ""
		if f.State != "ready" {
			code = red
		}
		fmt.Fprintf(w, "\n%s", paint(code, line))
	}
	fmt.Fprint(w, "\n\n")

	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	column, share := "", func(int) string { return "" }
	if s.Handoff != nil {
		column, share = "\tSHARE", func(slot int) string { return fmt.Sprintf("\t%.1f%%", 100*s.Handoff.Shares[slot]) }
	}
	fmt.Fprintf(t, "SLOT\tSEAT\tGEN\tPID\tSTATE\tUPTIME\tBUSY\tWAITING\tBACKLOG\tCONNS\tREQUESTS%s\tPSS\tANON\n", column)
	codes := []string{""}
	for _, k := range s.Slots {
		state, code := k.State, green
		switch {
		case k.Stalled:
			state, code = "stalled", red
		case k.State == plan.Waiting.String():
			state, code = fmt.Sprintf("waiting %.1fs", k.Retry), red
		case k.State != plan.Ready.String():
			code = yellow
			if k.Reason != "" {
				state += " (" + k.Reason + ")"
			}
		}
		codes = append(codes, code)
		slot, seat := strconv.Itoa(k.Slot), strconv.Itoa(k.Seat)
		if s.InProcess() {
			slot, seat = "all", parities[k.Seat%2]
		}
		if k.PID == 0 {
			fmt.Fprintf(t, "%s\t%s\t-\t-\t%s\t-\t-\t-\t%s\t-\t%d%s\t-\t-\n", slot, seat, state, backlog(s.Backlogs, k.Slot), k.Requests, share(k.Slot))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%d/%d\t%d\t%s\t%d\t%d%s\t%s\t%s\n", slot, seat, k.Generation, k.PID, state,
			span(k.Uptime), k.Busy, k.Threads, k.Waiting, backlog(s.Backlogs, k.Slot), k.Open, k.Requests, share(k.Slot), size(k.Memory.PSS), size(k.Memory.Anonymous))
	}
	t.Flush()
	for i, line := range strings.Split(strings.TrimRight(table.String(), "\n"), "\n") {
		fmt.Fprintln(w, paint(codes[i], strings.TrimRight(line, " ")))
	}
	for _, b := range s.Backlogs {
		if b.Slot == "all" {
			fmt.Fprintf(w, "all slots share %s: %d of %d connections wait there\n", b.Bind, b.Waiting, b.Limit)
		}
	}
	showShares(w, s.Shares)
	if s.Handoff != nil {
		fmt.Fprintln(w, handoffLine(s.Handoff))
	}
	if line := timeLine(&s.Rates); line != "" {
		fmt.Fprintln(w, "\n"+line)
		if hint := s.Rates.Time.Hint; hint != "" {
			fmt.Fprintln(w, paint(yellow, hint))
		}
	}
	if line := pressureLine(&s.Pressure); line != "" {
		fmt.Fprintln(w, paint(yellow, line))
	}
	if r := s.Restart; r != nil {
		fmt.Fprintf(w, "\nlast restart: to generation %d, %s", r.Generation, r.Outcome)
		if r.Reason != "" {
			fmt.Fprintf(w, " (%s): %s", r.Reason, r.Detail)
		}
		fmt.Fprintln(w)
	}
	if s.KeysError != "" {
		fmt.Fprintln(w, "\n"+paint(red, "certificates cannot be read, the old ones stay in use: "+s.KeysError))
	}
	if line := reloadLine(s.Reload, time.Now()); line != "" {
		fmt.Fprintln(w, "\n"+paint(yellow, line))
	}
	if len(s.Deaths) > 0 {
		fmt.Fprintln(w, "\nlast deaths:")
	}
	for _, d := range s.Deaths {
		where := fmt.Sprintf("slot %d", d.Slot)
		if s.InProcess() {
			where = "the process"
		}
		fmt.Fprintln(w, paint(red, fmt.Sprintf("  %s, pid %d, generation %d, %s ago after %s: %s: %s (%d connections open)",
			where, d.PID, d.Generation, span(time.Since(d.Time).Seconds()), span(d.Uptime), d.Reason, d.Detail, d.Open)))
	}
}

// timeLine says where the time of requests went; empty if there were none.
func timeLine(r *rates.Rates) string {
	if len(r.Time.Parts) == 0 {
		return ""
	}
	return fmt.Sprintf("time of requests (last %.0f s, %.*f req/s): %v, p99 %s, queue p99 %s",
		r.Window, digits(r.Requests), r.Requests, r.Time, latency(r.Duration.P99), latency(r.Wait.P99))
}

// digits behind the point are for what is small.
func digits(x float64) int {
	if x < 10 {
		return 1
	}
	return 0
}

// latency is a duration with the unit that suits it.
func latency(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.*f ms", digits(seconds*1e3), seconds*1e3)
	}
	return fmt.Sprintf("%.*f s", digits(seconds), seconds)
}

// pressureLine says that the CPU quota was used up; empty if it was not, or there is none.
func pressureLine(p *rates.Pressure) string {
	if p.Throttled == nil || *p.Throttled == 0 {
		return ""
	}
	return fmt.Sprintf("throttled: the CPU quota of the cgroup was used up in %.0f%% of its periods", 100**p.Throttled)
}

// parities name the seats of one that has the threads of all slots: 0, 2, 4 … or 1, 3, 5 ….
var parities = [2]string{"even", "odd"}

// showShares writes what the workers do that are no processes of their own.
func showShares(w io.Writer, shares []api.Share) {
	if len(shares) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SLOT\tBUSY\tREQUESTS")
	for _, x := range shares {
		fmt.Fprintf(t, "%d\t%d/%d\t%d\n", x.Slot, x.Busy, x.Threads, x.Requests)
	}
	t.Flush()
}

// handoffLine says how often connections were passed on, and the reasons why not, the most frequent first.
func handoffLine(h *api.Handoff) string {
	all, reasons := int64(0), []string{}
	for reason, n := range h.Stayed {
		if all += n; n > 0 {
			reasons = append(reasons, reason)
		}
	}
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Or(cmp.Compare(h.Stayed[b], h.Stayed[a]), strings.Compare(a, b)) })
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("%s %d", reason, h.Stayed[reason])
	}
	line := fmt.Sprintf("handoff since the start: pushed %d, on a hint %d, drained %d, received %d; stayed %d",
		h.Moved["pushed"], h.Moved["hinted"], h.Moved["drained"], h.Received, all)
	if all > 0 {
		line += " (" + strings.Join(reasons, ", ") + ")"
	}
	return line
}

// backlog is how many connections wait in the listeners that a slot has for itself.
func backlog(all []api.Backlog, slot int) string {
	waiting, own := 0, false
	for _, b := range all {
		if b.Slot == strconv.Itoa(slot) {
			waiting, own = waiting+b.Waiting, true
		}
	}
	if !own {
		return "-"
	}
	return strconv.Itoa(waiting)
}
