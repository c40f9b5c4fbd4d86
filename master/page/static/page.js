// The page: what comes over the stream is noted, and drawn with the next frame, so that a hidden page draws nothing.

import { Chart, History } from "./charts.js";
import { byId, setAttribute, setShown, setText } from "./dom.js";
import { Events } from "./events.js";
import { count, latency, rate, shown, span } from "./format.js";
import { showBacklog, showDeaths, showHandoff, showMemory, showNotices, showRestart, showTopology, verdict } from "./overview.js";
import { showTime } from "./shares.js";
import { Stream } from "./stream.js";
import { showWorkers } from "./workers.js";

const tokenKey = "cluster-token";

let status = null;
const history = new History();
const events = new Events();
const stream = new Stream("v1/stream", receive, connectionChanged);

const charts = [
	new Chart(byId("chart-requests"), "Requests a second", [
		{ name: "all", class: "first", value: (p) => p.requests },
		{ name: "errors", class: "wrong", value: (p) => p.errors },
	], rate),
	new Chart(byId("chart-latency"), "Latency", [
		{ name: "p50", class: "first", value: (p) => p.p50 },
		{ name: "p99", class: "second", value: (p) => p.p99 },
	], latency),
	new Chart(byId("chart-threads"), "Threads", [
		{ name: "busy", class: "first", value: (p) => p.busy },
		{ name: "requests waiting", class: "second", value: (p) => p.waiting },
	], count),
];

function receive(name, data) {
	if (name === "event") events.add(JSON.parse(data));
	if (name === "status") receiveStatus(JSON.parse(data));
	schedule();
}

function receiveStatus(next) {
	const another = status && (status.pid !== next.pid || status.started !== next.started);
	if (status?.state !== next.state && status) announce(`The cluster is ${next.state}.`);
	if (next.restart && next.restart.outcome !== status?.restart?.outcome && status) announce(verdict(next.restart) + ".");
	status = next;
	const known = status.rates.window_seconds > 0;
	const sum = (of) => status.workers_status.reduce((all, w) => all + of(w), 0);
	history.add({
		at: performance.now(),
		requests: known ? status.rates.requests_per_second : NaN,
		errors: known ? status.rates.errors_per_second : NaN,
		p50: status.rates.duration.p50 || NaN,
		p99: status.rates.duration.p99 || NaN,
		busy: sum((w) => w.threads_busy),
		waiting: sum((w) => w.requests_waiting),
	});
	if (another) {
		// Its events are numbered anew, and those after the last one that we know would not come.
		stream.lastID = "";
		events.divide();
		stream.connect();
	}
}

let scheduled = false;

function schedule() {
	if (scheduled) return;
	scheduled = true;
	requestAnimationFrame(() => {
		scheduled = false;
		render();
	});
}

function render() {
	renderConnection();
	setShown(byId("picture"), Boolean(status));
	if (!status) return;
	const now = Date.now() + stream.skew;
	setAttribute(document.body, "data-old", stream.state === "live" ? null : "");
	document.title = `${stream.state === "live" ? "" : "(old) "}${shown(status.name)}: ${status.state}`;
	showTopology(status, now);
	showNotices(status);
	showRestart(status, now);
	for (const chart of charts) chart.show(history.points, performance.now());
	showTime(byId("time-words"), byId("time-bar"), byId("time-legend"), status.rates);
	showMemory(status);
	showHandoff(status);
	showWorkers(status, schedule);
	showBacklog(status);
	showDeaths(status, now);
	events.show();
}

function renderConnection() {
	const words = { connecting: "connecting", live: "live", lost: "not connected", token: "a token is needed" };
	setText(byId("connection"), words[stream.state]);
	setAttribute(byId("connection"), "class", "connection " + stream.state);
	setShown(byId("token-form"), stream.state === "token");
	setText(byId("token-error"), stream.state === "token" ? stream.why : "");
	setShown(byId("old"), stream.state === "lost");
	if (stream.state !== "lost") return;
	const ago = (at) => span((performance.now() - at) / 1000);
	const next = Math.ceil((stream.retryAt - performance.now()) / 1000);
	setText(byId("old-text"), (stream.heard ? `Not connected since ${ago(stream.heard)}: what is shown is old.` : "Not connected.") +
		` ${shown(stream.why)}. ` + (next > 0 ? `Trying again in ${next} s.` : "Trying again."));
}

let announced = "connecting";

function connectionChanged() {
	if (stream.state === "lost" && announced === "live") announce("The connection is lost, what is shown is old.");
	if (stream.state === "live" && announced === "lost") announce("The page is live again.");
	announced = stream.state;
	schedule();
	if (stream.state === "token") requestAnimationFrame(() => byId("token").focus());
}

// announce tells those who do not see the page what has changed.
function announce(text) {
	setText(byId("announce"), text);
}

// The token stays for as long as the tab; where a browser keeps nothing it has to be typed in again.
function keptToken() {
	try {
		return sessionStorage.getItem(tokenKey);
	} catch {
		return null;
	}
}

byId("token-form").addEventListener("submit", (e) => {
	e.preventDefault();
	const token = byId("token").value.trim();
	if (!/^[\x21-\x7e]+$/.test(token)) {
		stream.why = "A token has only letters, digits and signs of ASCII, and no spaces.";
		schedule();
		return;
	}
	byId("token").value = "";
	try {
		sessionStorage.setItem(tokenKey, token);
	} catch {
		// It is used all the same.
	}
	stream.use(token);
});
byId("retry").addEventListener("click", () => stream.connect());
byId("grave").addEventListener("change", (e) => byId("event-list").classList.toggle("grave", e.target.checked));
document.addEventListener("visibilitychange", () => {
	if (!document.hidden && stream.state === "lost") stream.connect();
});
// What is shown gets older even if nothing comes.
setInterval(() => {
	if (stream.state === "lost") schedule();
}, 1000);
stream.use(keptToken());
