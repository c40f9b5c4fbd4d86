// Bars of shares: where the time of requests goes, and what memory is used for.

import { keep, make, setAttribute, setText, setShown } from "./dom.js";
import { percent } from "./format.js";

// parts of the time of requests (package metrics/rates), in the order of bars and legends, with their meaning.
const parts = new Map([
	["queue", "waiting for a thread"],
	["cpu", "running code"],
	["scheduler", "waiting for the Go scheduler"],
	["run_queue", "waiting for a CPU"],
	["gc", "the garbage collector"],
	["io", "waiting for the network, a disk, a timer or a lock"],
]);

const order = [...parts.keys()];

// bar brings a bar up to date. Each share has a name, which is its class too, and a share of 1.
export function bar(element, shares, label) {
	setAttribute(element, "role", "img");
	setAttribute(element, "aria-label", label);
	keep(element, shares.filter((s) => s.share > 0), (s) => s.name, (s) => make("i", { class: "share " + s.name }), (child, s) => {
		const grow = s.share.toFixed(4);
		if (child.style.flexGrow !== grow) child.style.flexGrow = grow;
	});
}

// legend brings a list of names, meanings and values up to date.
export function legend(element, entries) {
	keep(element, entries, (e) => e.name, (e) => {
		const item = make("li", {}, make("i", { class: "key share " + e.name, "aria-hidden": "true" }), make("strong"), " " + e.title + " ", make("span", { class: "muted" }, e.meaning));
		return item;
	}, (item, e) => setText(item.querySelector("strong"), e.value));
}

// largestFirst is a split in words: 62% io, 21% cpu, and so on; empty if there was no request.
export function largestFirst(split, most = order.length) {
	const sorted = [...(split?.parts ?? [])].filter((p) => p.share >= 0.005).sort((a, b) => b.share - a.share);
	return sorted.slice(0, most).map((p) => percent(p.share) + " " + title(p.name)).join(", ");
}

// inOrder are the parts of a split as bars have them.
export function inOrder(split) {
	return [...(split?.parts ?? [])].filter((p) => parts.has(p.name)).sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
}

// showTime brings the panel of all workers' time up to date.
export function showTime(words, barElement, legendElement, rates) {
	const split = rates.time;
	const sorted = [...(split?.parts ?? [])].filter((p) => parts.has(p.name)).sort((a, b) => b.share - a.share);
	const known = sorted.length > 0;
	setShown(barElement, known);
	setShown(legendElement, known);
	if (!known) {
		setText(words, rates.window_seconds > 0 ? "There was no request in the last seconds." : "Nothing has been measured yet.");
		return;
	}
	const [first, second] = sorted;
	let text = `The largest part goes to ${parts.get(first.name)}: ${percent(first.share)}`;
	if (second && second.share >= 0.05) text += `; then ${parts.get(second.name)}: ${percent(second.share)}`;
	setText(words, text + `. On average ${split.in_flight.toFixed(1)} requests were there at a time.`);
	bar(barElement, inOrder(split), largestFirst(split));
	const share = new Map(sorted.map((p) => [p.name, p.share]));
	legend(legendElement, order.map((name) => ({ name, title: title(name), meaning: parts.get(name), value: percent(share.get(name) ?? 0) })));
}

function title(name) {
	return name.replace("_", " ");
}
