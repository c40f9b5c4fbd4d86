// The table of workers: a row each that is changed in place, and below a row what its threads do, only while it is expanded.

import { byId, keep, make, setAttribute, setShown, setText } from "./dom.js";
import { count, latency, megabytes, plural, rate, running, shown, span } from "./format.js";
import { bar, inOrder, largestFirst } from "./shares.js";

const expanded = new Set(); // seats: each has one worker at a time

// showWorkers brings the table up to date. again is called when a person has opened or closed a row.
export function showWorkers(status, again) {
	const together = (status.in_process ?? []).length > 0;
	const items = [];
	for (const w of status.workers_status) {
		items.push({ key: "worker " + w.seat, w });
		if (expanded.has(w.seat)) items.push({ key: "detail " + w.seat, w, detail: true });
	}
	const slots = bySlot(status.backlogs ?? []);
	const backlogs = (w) => (together ? [...slots].flatMap(([slot, own]) => (slot === "all" ? [] : own)) : (slots.get(String(w.slot)) ?? []));
	keep(byId("worker-rows"), items, (item) => item.key, (item) => (item.detail ? detailRow(item.w) : workerRow(item.w, again)), (row, item) => {
		if (item.detail) {
			updateDetail(row, item.w, together ? [] : backlogs(item.w));
		} else {
			updateWorker(row, item.w, backlogs(item.w), together);
		}
	});
	setShown(byId("shares"), together);
	keep(byId("share-rows"), status.in_process ?? [], (s) => s.slot, (s) => make("tr", {}, make("th", { scope: "row" }, String(s.slot)), number(), number()), (row, s) => {
		setText(row.cells[1], s.threads_busy + "/" + s.threads);
		setText(row.cells[2], count(s.requests));
	});
}

function bySlot(backlogs) {
	const slots = new Map();
	for (const b of backlogs) slots.set(b.slot, [...(slots.get(b.slot) ?? []), b]);
	return slots;
}

function number() {
	return make("td", { class: "n" });
}

function workerRow(w, again) {
	const button = make("button", { type: "button", class: "expand", "aria-expanded": "false", "aria-controls": "detail-" + w.seat });
	button.addEventListener("click", () => {
		if (!expanded.delete(w.seat)) expanded.add(w.seat);
		again();
	});
	const row = make("tr", {}, make("th", { scope: "row" }, button), make("td", {}, make("span", { class: "state" })));
	for (let i = 2; i < 12; i++) row.append(number());
	row.append(make("td", {}, make("div", { class: "split" }, make("div", { class: "bar thin" }), make("span"))), number(), number());
	return row;
}

const parities = ["even", "odd"];

function updateWorker(row, w, backlogs, together) {
	const [slot, state, ...cells] = row.cells;
	const button = slot.firstChild;
	const name = together ? "all (" + parities[w.seat % 2] + ")" : String(w.slot);
	setText(button, name);
	setAttribute(button, "aria-expanded", expanded.has(w.seat));
	setAttribute(button, "aria-label", `${together ? "the process" : "slot " + name}, pid ${w.pid}: threads`);
	const [word, kind] = stateOf(w);
	setText(state.firstChild, word);
	setAttribute(state.firstChild, "class", "state " + kind);
	const there = w.pid !== 0;
	const known = there && w.rates.window_seconds > 0;
	const values = [
		there && String(w.generation), there && String(w.pid), there && span(w.uptime_seconds), there && w.threads_busy + "/" + w.threads,
		there && count(w.requests_waiting), backlogs.length > 0 && count(backlogs.reduce((sum, b) => sum + b.waiting, 0)), there && count(w.connections_open),
		known && rate(w.rates.requests_per_second), known && latency(w.rates.duration.p50), known && latency(w.rates.duration.p99),
	];
	values.forEach((value, i) => setText(cells[i], value || "–"));
	setAttribute(cells[3], "class", there && w.threads_busy >= w.threads ? "n full" : "n");
	setAttribute(cells[4], "class", w.requests_waiting > 0 ? "n some" : "n");
	const split = cells[10].firstChild;
	const words = known ? largestFirst(w.rates.time) : "";
	bar(split.firstChild, known ? inOrder(w.rates.time) : [], words || "nothing is known yet");
	setText(split.lastChild, (known && largestFirst(w.rates.time, 1)) || "–");
	const memory = there && w.memory.pss_bytes > 0;
	setText(cells[11], memory ? megabytes(sharedOf(w.memory)) : "–");
	setText(cells[12], memory ? megabytes(w.memory.anonymous_bytes) : "–");
}

// sharedOf is the part of a process's memory that it shares with others, as its proportional share.
export function sharedOf(memory) {
	return Math.max(0, memory.pss_bytes - memory.anonymous_bytes);
}

// stateOf is the state of a worker in a word or two, and how good that is.
function stateOf(w) {
	if (w.stalled) return ["stalled", "bad"];
	if (w.state === "waiting") return ["waits " + running(w.retry_seconds ?? 0), "bad"];
	if (w.state === "ready") return ["ready", "good"];
	return [w.state + (w.reason ? " (" + shown(w.reason) + ")" : ""), "fair"];
}

function detailRow(w) {
	const threads = make("table", { class: "threads" },
		make("caption", { class: "unseen" }, "threads"),
		make("thead", {}, make("tr", {}, ...["Thread", "State", "Since", "Method", "Path"].map((name) => make("th", { scope: "col" }, name)))),
		make("tbody"));
	return make("tr", { class: "detail", id: "detail-" + w.seat }, make("td", { colspan: 15 },
		make("div", { class: "inner" }, make("dl", { class: "facts" }), make("p", { class: "muted" }), threads)));
}

function updateDetail(row, w, backlogs) {
	const [list, none, table] = row.cells[0].firstChild.children;
	const r = w.rates;
	const entries = [["seat", String(w.seat)], ["requests of the slot", count(w.requests)]];
	if (r.window_seconds > 0) {
		entries.push(["p90", latency(r.duration.p90)], ["p99.9", latency(r.duration.p999)], ["queue wait p50", latency(r.queue_wait.p50)],
			["queue wait p99", latency(r.queue_wait.p99)], ["errors/s", rate(r.errors_per_second)], ["CPUs", r.cpus.toFixed(2)]);
	}
	for (const b of backlogs) entries.push(["backlog of " + shown(b.bind), count(b.waiting) + " of " + count(b.limit)]);
	facts(list, entries);
	const threads = w.thread_list ?? [];
	setShown(table, threads.length > 0);
	setShown(none, threads.length === 0);
	setText(none, "Nothing is known of its threads.");
	setText(table.caption, plural(threads.length, "thread"));
	keep(table.tBodies[0], threads.map((thread, i) => ({ thread, i })), (item) => item.i, threadRow, updateThread);
}

function threadRow(item) {
	return make("tr", {}, make("th", { scope: "row" }, String(item.i)), make("td", {}, make("span", { class: "state" })), number(), make("td"), make("td", { class: "path" }));
}

function updateThread(row, { thread }) {
	const [, state, since, method, path] = row.cells;
	setText(state.firstChild, thread.state);
	setAttribute(state.firstChild, "class", "state " + (thread.state === "free" ? "idle" : "busy"));
	setText(since, thread.state === "running" ? running(thread.running_seconds ?? 0) : "");
	setText(method, shown(thread.method ?? ""));
	setText(path, shown(thread.path ?? ""));
}

// facts brings a list of names and values up to date.
export function facts(list, entries) {
	keep(list, entries, ([name]) => name, ([name]) => make("div", {}, make("dt", {}, name), make("dd")), (child, [, value]) => setText(child.lastChild, value));
}
