package page

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
)

// All in one browser, one tab after the other: only what is in front draws.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *browser)
	}{
		{"live", live},
		{"large", large},
		{"outside", outside},
		{"token", token},
		{"breaks", breaks},
		{"silence", silence},
		{"another master", anotherMaster},
		{"in process", inProcess},
		{"modules", modules},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
}

const (
	isLive = `document.querySelector("#connection.live")`
	rows   = `document.querySelectorAll("#worker-rows > tr:not(.detail)")`
)

func says(selector, text string) string {
	return fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%q)`, selector, text)
}

// What the cluster does is shown as it comes, in the elements that are there; by keyboard, on a phone, and to who hears it.
func live(t *testing.T, b *browser) {
	f := serve(t)
	s := shop(3, 5, 0)
	f.send(t, s)
	for _, e := range happenings() {
		f.tell(e)
	}
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive+` && `+rows+`.length === 3 && `+says("#event-list", "worker_died"))
	for selector, text := range map[string]string{
		"#name": "shop", "header .state": "ready", "#topology": "3 × 5 threads", "#chart-latency figcaption": "p99", "#time-words": "The largest part goes to waiting for the network",
		"#time-legend": "24% cpu", "#memory-words": "All processes together use", "#backlog-rows": "slot 1: 5 of 4,096", "#restart-text": "generation 3 is done (took 21 s, ended ",
		"#death-list": "oom slot 1, pid 2304", "#event-list li:first-child": "reload_unchanged", "#event-list pre": "2.0 GB in 50110 entries", "#handoff": "48,210 pushed",
		"#foot": "/run/shop/control.sock", "#worker-rows": "17.0",
	} {
		if !evaluate[bool](t, p, says(selector, text)) {
			t.Errorf("%s does not say %q: %s", selector, text, evaluate[string](t, p, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? "it is not there"`, selector)))
		}
	}

	// The first row is opened by keyboard.
	evaluate[bool](t, p, `(window.firstRow = `+rows+`[0], true)`)
	for range 20 {
		if evaluate[bool](t, p, `document.activeElement === document.querySelector(".expand")`) {
			break
		}
		p.press(t, "Tab")
	}
	if outline := evaluate[string](t, p, `getComputedStyle(document.activeElement, null).outlineStyle + " " + document.activeElement.className`); outline != "solid expand" {
		t.Fatalf("the focus is not to be seen on the button of the first row: %s", outline)
	}
	p.press(t, "Enter")
	p.await(t, `document.querySelectorAll("#detail-0 .threads tbody tr").length === 5 && document.activeElement.getAttribute("aria-expanded") === "true"`)
	s.State, s.Slots[0].ThreadList[1] = "degraded", api.Thread{State: "running", For: 71.5, Method: "PUT", Path: "/slow"}
	s.Slots[2].Stalled = true
	s.Restart = &plan.Rollout{Generation: 4, From: 3, Outcome: plan.Returning, Reason: "boot_exit", Detail: "exit status 2", Started: time.Now(), Replaced: 1}
	f.send(t, s)
	p.await(t, says("#detail-0", "1 min 11 s")+` && `+says("#detail-0 .path", "/")+` && `+says("#worker-rows", "stalled"))
	if !evaluate[bool](t, p, says("#restart-text", "1 of 3 workers replaced")+` && `+says("#restart-text", "reason boot_exit: exit status 2")+` && document.querySelector("#restart-bar").value === 1`) {
		t.Error("the restart is not shown")
	}
	if said := evaluate[string](t, p, `document.querySelector("[role=status]").textContent`); !strings.Contains(said, "has failed") {
		t.Errorf("who hears the page was told %q", said)
	}
	if !evaluate[bool](t, p, `window.firstRow === `+rows+`[0] && document.activeElement.className === "expand"`) {
		t.Error("the row was made anew, or has lost the focus")
	}

	// On a phone nothing is wider than the window.
	p.size(t, 360, 740, 2, true)
	f.tell(journal.Event{ID: 9, Time: time.Now(), Level: "warn", Name: "x", Message: strings.Repeat("long", 100)})
	p.await(t, says("#event-list", "longlong"))
	if wide := evaluate[float64](t, p, `Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)`); wide > 360 {
		t.Errorf("the page is %v wide on a phone of 360: %s", wide, evaluate[string](t, p,
			`[...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll *") && e.getBoundingClientRect().right > 360).map((e) => e.tagName + "." + e.className).join(" ")`))
	}
	p.prefer(t, "prefers-reduced-motion", "reduce")
	if moves := evaluate[string](t, p, `[...document.querySelectorAll("*")].filter((e) => getComputedStyle(e).transitionDuration !== "0s" || getComputedStyle(e).animationName !== "none").map((e) => e.className).join()`); moves != "" {
		t.Errorf("it moves where that is not wanted: %s", moves)
	}
	p.prefer(t, "prefers-reduced-motion", "no-preference")
	if !evaluate[bool](t, p, `getComputedStyle(document.querySelector(".bar .share")).transitionDuration === "0.3s"`) {
		t.Error("nothing moves at all, so it proves nothing that nothing does where that is not wanted")
	}
	accessible(t, p)

	// The filter is for warnings and errors.
	evaluate[bool](t, p, `(document.querySelector("#grave").focus(), true)`)
	p.press(t, "Space")
	if left := evaluate[float64](t, p, `[...document.querySelectorAll("#event-list > li")].filter((li) => li.checkVisibility()).length`); left != 3 {
		t.Errorf("%v events are shown that are warnings or errors, want 3", left)
	}
	p.clean(t, f.host(), false)
}

// accessible says whether all that can be used or has a meaning has a name in the accessibility tree, and the landmarks are there.
func accessible(t *testing.T, p *tab) {
	t.Helper()
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name value
		}
	}
	p.call(t, "Accessibility.getFullAXTree", nil, &tree)
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		role, _ := n.Role.Value.(string)
		if n.Ignored {
			continue
		}
		roles[role]++
		switch role {
		case "button", "link", "checkbox", "textbox", "meter", "progressbar", "image", "img", "region", "navigation", "columnheader", "rowheader", "heading":
			if name, _ := n.Name.Value.(string); strings.TrimSpace(name) == "" {
				t.Errorf("an element of role %s has no name", role)
			}
		}
	}
	for _, role := range []string{"banner", "main", "contentinfo", "navigation", "region", "table", "columnheader", "rowheader", "button", "checkbox", "status", "meter", "progressbar"} {
		if roles[role] == 0 {
			t.Errorf("there is no element of role %s among %v", role, roles)
		}
	}
	if roles["image"]+roles["img"] < 5 {
		t.Errorf("charts and bars are no images with a text: %v", roles)
	}
}

// 64 workers with 16 threads: threads have elements only while they are shown, and what did not change is not touched.
func large(t *testing.T, b *browser) {
	f := serve(t)
	s := shop(64, 16, 0)
	f.send(t, s)
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive+` && `+rows+`.length === 64`)
	if n := evaluate[float64](t, p, `document.querySelectorAll("*").length`); n > 3500 {
		t.Errorf("the page has %v elements", n)
	}
	evaluate[bool](t, p, `(document.querySelectorAll(".expand")[63].click(), true)`)
	p.await(t, `document.querySelectorAll(".threads tbody tr").length === 16`)
	evaluate[bool](t, p, `(window.changes = 0, new MutationObserver((all) => window.changes += all.length).observe(document.querySelector("#workers"),
		{ subtree: true, childList: true, attributes: true, characterData: true }), true)`)
	s.Generation = 77
	f.send(t, s)
	p.await(t, says("#topology", "77"))
	if n := evaluate[float64](t, p, `window.changes`); n != 0 {
		t.Errorf("%v changes of the table for a status with the same workers", n)
	}
	s.Slots[63].PID = 4711
	f.send(t, s)
	p.await(t, says("#worker-rows", "4711"))
	if n := evaluate[float64](t, p, `window.changes`); n < 1 || n > 3 {
		t.Errorf("%v changes of the table for another process id: its cell, and the name of its button", n)
	}
	s.Slots = s.Slots[:2]
	f.send(t, s)
	p.await(t, rows+`.length === 2 && !document.querySelector(".detail")`)
	p.clean(t, f.host(), false)
}

// Texts from outside stay texts, and what cannot be seen is shown as an escape.
func outside(t *testing.T, b *browser) {
	f := serve(t)
	const evil = `/<img src=x onerror="window.ran=1"><script>window.ran=1</script>&amp;` + "\x1b[31m\u202egnp.exe\n"
	const harmless = `/<img src=x onerror="window.ran=1"><script>window.ran=1</script>&amp;\x1b[31m\u{202e}gnp.exe\n`
	s := shop(1, 1, 0)
	s.Name, s.Program, s.Version, s.Control = evil, evil, evil, evil
	s.Binds, s.Backlogs[0].Bind = []string{evil}, evil
	s.Slots[0].Busy, s.Slots[0].ThreadList = 1, []api.Thread{{State: "running", For: 1, Method: evil, Path: evil}}
	s.Slots[0].State, s.Slots[0].Reason = "draining", evil
	s.Deaths[0].Detail, s.Deaths[0].Reason = evil, evil
	s.Restart.Reason, s.Restart.Detail, s.KeysError = evil, evil, evil
	f.send(t, s)
	f.tell(journal.Event{ID: 1, Time: time.Now(), Level: evil, Name: evil, Message: evil, Fields: map[string]any{evil: evil, "list": []string{evil}, "output": []string{evil, "two"}}})
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive+` && `+says("#event-list", "gnp.exe"))
	evaluate[bool](t, p, `(document.querySelector(".expand").click(), true)`)
	p.await(t, `document.querySelector(".threads tbody .path")`)
	for _, selector := range []string{"#name", "#topology", "#foot", "#backlog-rows", ".threads .path", "#worker-rows .state", "#death-list", "#restart-text", "#notices", "#event-list", "#event-list pre"} {
		if !evaluate[bool](t, p, fmt.Sprintf(`document.querySelector(%q).textContent.includes(%q)`, selector, harmless)) && selector != ".threads .path" {
			t.Errorf("%s does not show the text as it came: %s", selector, evaluate[string](t, p, fmt.Sprintf(`document.querySelector(%q).textContent`, selector)))
		}
	}
	if path := evaluate[string](t, p, `document.querySelector(".threads tbody .path").textContent`); path != harmless {
		t.Errorf("the path is shown as %q", path)
	}
	if !evaluate[bool](t, p, `window.ran === undefined && document.querySelectorAll("img, main script").length === 0`) {
		t.Error("a text has become an element, or has run")
	}
	if raw := evaluate[bool](t, p, `/[\x1b\u202e]/.test(document.body.textContent + document.title)`); raw {
		t.Error("a control character is on the page")
	}
	p.clean(t, f.host(), false)
}

// Without the token the page asks for it. It is kept for the tab, and is never part of an address.
func token(t *testing.T, b *browser) {
	f := serve(t)
	f.token = "s3cret+/="
	f.send(t, shop(1, 1, 0))
	p := b.open(t, f.URL+"/page", "")
	p.await(t, `document.activeElement.id === "token" && !document.querySelector("#picture").checkVisibility()`)
	enter := func(text string) {
		p.call(t, "Input.insertText", object{"text": text}, nil)
		p.press(t, "Enter")
	}
	enter("wrong")
	p.await(t, says("#token-error", "refused"))
	enter("with space")
	p.await(t, says("#token-error", "no spaces"))
	evaluate[bool](t, p, `(document.querySelector("#token").select(), true)`)
	enter(f.token)
	p.await(t, isLive+` && !document.querySelector("#token-form").checkVisibility() && `+rows+`.length === 1`)
	p.call(t, "Page.reload", nil, nil)
	p.await(t, isLive+` && `+rows+`.length === 1`)
	p.clean(t, f.host(), true)
	for _, u := range p.requests {
		if strings.Contains(u.String(), "s3cret") || u.RawQuery != "" {
			t.Errorf("the token is in an address: %v", u)
		}
	}
}

// A page whose stream has ended says so, and goes on where it was.
func breaks(t *testing.T, b *browser) {
	f := serve(t)
	f.send(t, shop(2, 2, 0))
	for _, e := range happenings() {
		f.tell(e)
	}
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive+` && `+says("#event-list", "restart_begun"))
	f.cut(true)
	p.await(t, says("#old-text", "100 clients follow already")+` && /Not connected since \d+ s: what is shown is old/.test(document.querySelector("#old-text").textContent)`)
	if !evaluate[bool](t, p, `document.querySelector("#old").checkVisibility() && document.title.startsWith("(old) ") && `+says("[role=status]", "lost")) {
		t.Error("it does not say everywhere that the picture is old")
	}
	f.tell(journal.Event{ID: 9, Time: time.Now(), Level: "info", Name: "meanwhile", Message: "it happened meanwhile"})
	f.cut(false)
	evaluate[bool](t, p, `(document.querySelector("#retry").click(), true)`)
	p.await(t, isLive+` && `+says("#event-list li:first-child", "meanwhile")+` && !document.querySelector("#old").checkVisibility() && `+says("[role=status]", "live again"))
	if n := evaluate[float64](t, p, `document.querySelectorAll("#event-list li").length`); n != 9 || f.lastID() != "8" {
		t.Errorf("%v events are shown, want 9, each once; it went on after the event %q", n, f.lastID())
	}
	// By itself, too.
	f.cut(false)
	p.await(t, `!`+isLive)
	p.await(t, isLive)
	p.clean(t, f.host(), true)
}

// A stream that is open and sends nothing is given up.
func silence(t *testing.T, b *browser) {
	f := serve(t)
	f.send(t, shop(1, 1, 0))
	p := b.open(t, f.URL+"/page", `{ const real = window.setTimeout; window.setTimeout = (run, wait) => real(run, wait >= 8000 ? wait / 8 : wait); }`)
	p.await(t, isLive)
	p.await(t, `document.querySelector("#old").checkVisibility() && `+says("#old-text", "nothing was sent"))
	p.await(t, isLive)
	p.clean(t, f.host(), false)
}

// The events of another master are numbered anew. None of them may be missing.
func anotherMaster(t *testing.T, b *browser) {
	f := serve(t)
	s := shop(1, 1, 0)
	f.send(t, s)
	for _, e := range happenings() {
		f.tell(e)
	}
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive+` && `+says("#event-list", "restart_begun"))
	f.cut(true)
	s.PID, s.Started = 9000, time.Now()
	f.send(t, s)
	f.events = nil
	f.tell(journal.Event{ID: 1, Time: time.Now(), Level: "info", Name: "cluster_starting", Message: "the cluster starts"})
	f.cut(false)
	evaluate[bool](t, p, `(document.querySelector("#retry").click(), true)`)
	p.await(t, says("#event-list li:first-child", "cluster_starting")+` && `+says("#event-list li.divider", "another master")+` && `+says("#topology", "9000"))
	p.clean(t, f.host(), true)
}

// One process has the threads of all workers; a slot may have none at all.
func inProcess(t *testing.T, b *browser) {
	f := serve(t)
	s := shop(2, 3, 0)
	s.Mode, s.Slots, s.Shares = "inprocess", s.Slots[:1], []api.Share{{Slot: 0, Busy: 1, Threads: 3, Requests: 70}, {Slot: 1, Busy: 2, Threads: 3, Requests: 1200}}
	s.Deaths, s.Restart, s.Handoff, s.Backlogs = nil, nil, nil, s.Backlogs[:2]
	f.send(t, s)
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive+` && `+says(".expand", "all (even)")+` && `+says("#share-rows", "1,200")+` && `+says("#shares", "2/3"))
	if shown := evaluate[string](t, p, `["deaths", "restart", "handoff", "notices"].filter((id) => document.getElementById(id).checkVisibility()).join()`); shown != "" {
		t.Errorf("shown without a reason: %s", shown)
	}
	s.Slots = []api.WorkerStatus{{Slot: 0, State: "waiting", Retry: 2.5}}
	s.Front = &api.FrontStatus{Dispatch: "copied", State: "starting"}
	s.Reload = &api.Reload{Outcome: api.ReloadPartly}
	s.Reload.Kept = []string{"metrics"}
	s.Rates = api.Status{}.Rates
	f.send(t, s)
	p.await(t, says("#worker-rows", "waits 2.5 s")+` && `+says("#notices", "need a new start: metrics")+` && `+says("#notices", "front (copied) is starting")+` && `+says("#time-words", "Nothing has been measured yet"))
	p.clean(t, f.host(), false)
}

// The parts that can be tried without a page.
func modules(t *testing.T, b *browser) {
	f := serve(t)
	f.send(t, shop(1, 1, 0))
	p := b.open(t, f.URL+"/page", "")
	p.await(t, isLive)
	tests := map[string]string{
		`f.count(1234567)`: "1,234,567", `f.rate(0)`: "0", `f.rate(3.14)`: "3.1", `f.rate(1234.5)`: "1,235",
		`f.latency(0)`: "–", `f.latency(0.00002)`: "20.0 µs", `f.latency(0.0123)`: "12.3 ms", `f.latency(0.9999)`: "1,000 ms", `f.latency(2)`: "2.00 s",
		`f.span(-1)`: "0 s", `f.span(59.9)`: "59 s", `f.span(61)`: "1 min 01 s", `f.span(3600)`: "1 h 00 min", `f.span(90000)`: "1 d 01 h",
		`f.running(1.25)`: "1.3 s", `f.megabytes(1572864)`: "1.5", `f.percent(0)`: "0%", `f.percent(0.004)`: "<1%", `f.percent(0.625)`: "63%",
		`f.plural(1, "thread")`: "1 thread", `f.plural(2, "thread")`: "2 threads", `f.shown("a\u0000\u200b\tb<")`: `a\x00\u{200b}\tb<`, `f.shown("ümläut 木")`: "ümläut 木",
		`String(c.niceTop(0))`: "1", `String(c.niceTop(31))`: "40", `String(c.niceTop(9.1))`: "10", `String(c.niceTop(0.0021))`: "0.004",
	}
	for expression, want := range tests {
		got := evaluate[string](t, p, `Promise.all([import("/page/format.js"), import("/page/charts.js")]).then(([f, c]) => `+expression+`)`)
		if got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
	// However the stream is cut, and whatever ends its lines.
	got := evaluate[[]string](t, p, `import("/page/stream.js").then(({ Parser }) => {
		const text = ": hello\nid: 7\nevent: status\ndata: {\"a\":\ndata:1}\n\nevent: empty\n\nretry: 5\ndata: ü\n\ndata: cut off";
		const all = new Set();
		for (const end of ["\n", "\r\n", "\r"]) {
			const whole = text.replaceAll("\n", end);
			for (let size = 1; size <= whole.length; size++) {
				const parser = new Parser();
				const events = [];
				for (let at = 0; at < whole.length; at += size) events.push(...parser.feed(whole.slice(at, at + size)));
				all.add(JSON.stringify(events));
			}
		}
		return [...all];
	})`)
	want := []string{`[{"name":"status","data":"{\"a\":\n1}","id":"7"},{"name":"message","data":"ü","id":"7"}]`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the stream is read as\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
