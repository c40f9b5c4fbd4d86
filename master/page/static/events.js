// The list of events, newest first. An event does not change any more: its element is made once.

import { byId, make, setShown } from "./dom.js";
import { plural, shown } from "./format.js";

const most = 300; // elements on the page

// Events collects what came and puts it onto the page when that is drawn.
export class Events {
	#fresh = [];

	add(event) {
		this.#fresh.push(event);
		if (this.#fresh.length > most) this.#fresh.shift();
	}

	// divide marks that what comes now is of another master.
	divide() {
		if (byId("event-list").childElementCount) this.add(null);
	}

	show() {
		if (!this.#fresh.length) return;
		const list = byId("event-list");
		list.prepend(...this.#fresh.reverse().map(element));
		this.#fresh = [];
		while (list.childElementCount > most) list.lastChild.remove();
		setShown(byId("no-events"), false);
	}
}

// clock is a time of day, with the date unless it is of today.
function clock(at) {
	const time = at.toLocaleTimeString("en-GB");
	return at.toDateString() === new Date().toDateString() ? time : at.toLocaleDateString("sv") + " " + time;
}

const levels = { debug: "debug", info: "info", warn: "warn", error: "error" };

function element(event) {
	if (!event) return make("li", { class: "divider" }, "another master has taken over: below is what the one before has told");
	const level = levels[event.level] ?? "info";
	const at = new Date(event.time);
	const { output, ...fields } = event.fields ?? {};
	const item = make("li", { class: level },
		make("time", { datetime: event.time, title: at.toLocaleString() }, clock(at)), " ",
		make("span", { class: "level" }, level), " ", make("code", {}, shown(event.event)), " ", shown(event.message));
	for (const [name, value] of Object.entries(fields).sort(([a], [b]) => rank(a) - rank(b))) {
		item.append(" ", make("span", { class: "field" }, make("span", { class: "muted" }, shown(name) + "="), shown(text(value))));
	}
	if (Array.isArray(output) && output.length) {
		item.append(make("pre", { tabindex: 0, role: "region", "aria-label": `last ${plural(output.length, "line")} of the worker` }, output.map(shown).join("\n")));
	}
	return item;
}

const first = ["slot", "pid", "generation", "reason", "err"];

function rank(name) {
	const at = first.indexOf(name);
	return at < 0 ? first.length : at;
}

function text(value) {
	return typeof value === "object" ? JSON.stringify(value) : String(value);
}
