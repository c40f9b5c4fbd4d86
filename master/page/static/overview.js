// What is above and around the table of workers: what the cluster is, what is wrong, its restart, memory, backlog and deaths.

import { byId, keep, make, setAttribute, setShown, setText } from "./dom.js";
import { count, megabytes, percent, plural, shown, span } from "./format.js";
import { bar, legend } from "./shares.js";
import { facts, sharedOf } from "./workers.js";

const good = ["ready"];
const fair = ["starting", "restarting", "stopping"];

// showTopology says what the cluster is. now is the server's time in milliseconds.
export function showTopology(status, now) {
	setText(byId("name"), shown(status.name));
	const state = byId("state");
	setShown(state, true);
	setText(state, status.state);
	setAttribute(state, "class", "state " + (good.includes(status.state) ? "good" : fair.includes(status.state) ? "fair" : "bad"));
	const threads = plural(status.threads, "thread");
	facts(byId("topology"), [
		["mode", status.mode + (status.in_process?.length ? ": one process" : "")],
		["workers × threads", `${status.workers} × ${threads}`],
		...(status.dispatch ? [["dispatch", status.dispatch]] : []),
		["binds", (status.binds ?? []).map(shown).join(" ")],
		["generation", String(status.generation)],
		["program", shown(status.program) + (status.program_by_path ? " (a script, run by its path)" : "")],
		["up", span((now - Date.parse(status.started)) / 1000)],
		["master pid", String(status.pid)],
		["requests in flight", (status.rates.time?.in_flight ?? 0).toFixed(1)],
		["CPUs", status.rates.cpus.toFixed(2)],
	]);
	setText(byId("foot"), `cluster ${shown(status.version)} · control socket ${shown(status.control)}`);
}

// showNotices lists what needs attention and has no place of its own.
export function showNotices(status) {
	const notices = [];
	if (status.certificates_error) notices.push(["bad", "Certificates cannot be read, the old ones stay in use: " + status.certificates_error]);
	const reload = status.reload;
	if (reload && !["unchanged", "done"].includes(reload.outcome)) {
		const kept = reload.kept ?? [];
		notices.push(["fair", `The last reload: ${reload.outcome}` + (kept.length ? `; these settings need a new start: ${kept.join(", ")}` : "") +
			(reload.errors ?? []).map((e) => "; " + e).join("")]);
	}
	const front = status.front;
	if (front) {
		notices.push([front.state === "ready" ? "" : "bad", `The front (${front.dispatch}) is ${front.state}: pid ${front.pid}, up ${span(front.uptime_seconds)}, ` +
			`${plural(front.restarts, "restart")}, ${megabytes(front.memory.pss_bytes)} MB`]);
	}
	const panel = byId("notices");
	setShown(panel, notices.length > 0);
	keep(panel, notices.map(([kind, text], i) => ({ kind, text, i })), (n) => n.i, () => make("p"), (p, n) => {
		setText(p, shown(n.text));
		setAttribute(p, "class", n.kind || null);
	});
}

// showHandoff says how often connections were passed on (dispatch handoff).
export function showHandoff(status) {
	const { handoff } = status;
	setShown(byId("handoff"), Boolean(handoff));
	if (!handoff) return;
	const moved = handoff.connections ?? {};
	const stayed = Object.values(handoff.stayed ?? {}).reduce((sum, n) => sum + n, 0);
	setText(byId("handoff"), `Connections passed on since the start: ${count(moved.pushed ?? 0)} pushed, ${count(moved.hinted ?? 0)} on a hint, ` +
		`${count(moved.drained ?? 0)} drained; ${count(stayed)} times one could not be.`);
}

const outcomes = {
	running: ["fair", "is running"],
	returning: ["bad", "has failed, and the slots go back"],
	done: ["good", "is done"],
	aborted: ["bad", "was aborted: every slot is on the generation before"],
	superseded: ["fair", "was superseded by a newer one"],
	cancelled: ["fair", "was cancelled: the cluster stops"],
};

// verdict is how a restart stands, in words.
export function verdict(restart) {
	return `The restart to generation ${restart.generation} ${(outcomes[restart.outcome] ?? ["", "is " + restart.outcome])[1]}`;
}

// showRestart shows the last restart: how far it is, and what became of it.
export function showRestart(status, now) {
	const restart = status.restart;
	setShown(byId("restart"), Boolean(restart));
	if (!restart) return;
	const running = restart.outcome === "running" || restart.outcome === "returning";
	const since = Date.parse(restart.started);
	const ended = restart.ended ? Date.parse(restart.ended) : now;
	let text = verdict(restart);
	if (running) text += `: ${restart.replaced} of ${plural(status.workers, "worker")} replaced, since ${span((now - since) / 1000)}`;
	else text += ` (took ${span((ended - since) / 1000)}, ended ${span((now - ended) / 1000)} ago)`;
	if (restart.reason) text += `; reason ${restart.reason}: ${restart.detail ?? ""}`;
	if (!running && !restart.drained) text += "; workers from before it still finish";
	setText(byId("restart-text"), shown(text));
	setAttribute(byId("restart-text"), "class", (outcomes[restart.outcome] ?? ["fair"])[0]);
	const progress = byId("restart-bar");
	setShown(progress, running);
	progress.max = Math.max(1, status.workers);
	progress.value = Math.min(restart.replaced, status.workers);
	setText(progress, `${restart.replaced} of ${status.workers}`);
}

// showMemory shows what the processes use together.
export function showMemory(status) {
	let own = 0;
	let shared = 0;
	for (const w of status.workers_status) {
		own += w.memory.anonymous_bytes;
		shared += sharedOf(w.memory);
	}
	const master = status.master_memory.pss_bytes;
	const front = status.front?.memory.pss_bytes ?? 0;
	const all = own + shared + master + front;
	const entries = [
		{ name: "private", title: "private", meaning: "of the workers: each has its own", bytes: own },
		{ name: "shared", title: "shared", meaning: "of the workers: program text and files", bytes: shared },
		{ name: "master", title: "master", meaning: "", bytes: master },
		...(front ? [{ name: "front", title: "front", meaning: "", bytes: front }] : []),
	].map((e) => ({ ...e, value: megabytes(e.bytes) + " MB", share: all ? e.bytes / all : 0 }));
	const words = entries.map((e) => `${percent(e.share)} ${e.title}`).join(", ");
	setText(byId("memory-words"), all ? `All processes together use ${megabytes(all)} MB.` : "Nothing has been measured yet.");
	setShown(byId("memory-bar"), all > 0);
	bar(byId("memory-bar"), entries, words);
	legend(byId("memory-legend"), entries);
}

// showBacklog has a row for each bind, whose listeners are one, or one a slot.
export function showBacklog(status) {
	const binds = new Map();
	for (const b of status.backlogs ?? []) {
		const row = binds.get(b.bind) ?? { bind: b.bind, listeners: 0, waiting: 0, fullest: b };
		row.listeners++;
		row.waiting += b.waiting;
		if (fill(b) > fill(row.fullest)) row.fullest = b;
		binds.set(b.bind, row);
	}
	const all = [...binds.values()].reduce((sum, row) => sum + row.waiting, 0);
	setText(byId("backlog-words"), binds.size ? `${plural(all, "connection")} ${all === 1 ? "waits" : "wait"} to be accepted.` : "No listener can be asked on this system.");
	keep(byId("backlog-rows"), [...binds.values()], (row) => row.bind, (row) => make("tr", {}, make("th", { scope: "row", class: "path" }, shown(row.bind)),
		make("td", { class: "n" }), make("td", { class: "n" }), make("td", {}, make("meter", { min: 0 }), " ", make("span"))), (tr, row) => {
		const { fullest } = row;
		setText(tr.cells[1], count(row.listeners));
		setText(tr.cells[2], count(row.waiting));
		const [meter, text] = tr.cells[3].children;
		const words = `${fullest.slot === "all" ? "of all slots" : "slot " + fullest.slot}: ${count(fullest.waiting)} of ${count(fullest.limit)}`;
		setAttribute(meter, "aria-label", words);
		setAttribute(meter, "max", Math.max(1, fullest.limit));
		setAttribute(meter, "high", Math.max(1, fullest.limit) * 0.8);
		setAttribute(meter, "value", fullest.waiting);
		setText(text, words);
	});
}

function fill(b) {
	return b.limit > 0 ? b.waiting / b.limit : 0;
}

// showDeaths lists how workers died, the last first.
export function showDeaths(status, now) {
	const deaths = [...(status.deaths ?? [])].sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
	const where = (d) => (status.in_process?.length ? "the process" : "slot " + d.slot);
	setShown(byId("deaths"), deaths.length > 0);
	keep(byId("death-list"), deaths, (d) => d.time + d.pid, (d) => make("li", {}, make("time", { datetime: d.time }), " ", make("strong", { class: "bad" }, shown(d.reason)), " ",
		`${where(d)}, pid ${d.pid}, generation ${d.generation}, after ${span(d.uptime_seconds)}: ${shown(d.detail)} (${plural(d.open_connections, "connection")} open)`),
	(li, d) => setText(li.firstChild, span((now - Date.parse(d.time)) / 1000) + " ago"));
}
