// Charts of what the page has seen in the last minutes. The picture is a path for each series; all text is HTML beside it, so that
// it is as large as other text at any width.

import { draw, make, setAttribute, setText } from "./dom.js";
import { span } from "./format.js";

// length is how far back the page remembers, in milliseconds.
export const length = 5 * 60_000;

const gap = 3_500; // milliseconds without a picture that break a line
const width = 600;
const height = 100;

// History is what there was to see, oldest first.
export class History {
	points = [];

	add(point) {
		this.points.push(point);
		const first = this.points.findIndex((p) => p.at >= point.at - length);
		if (first > 0) this.points.splice(0, first);
	}
}

// Chart draws series of a history into a figure. Each has a name, a function value(point), and its class.
export class Chart {
	#series;
	#format;
	#picture;
	#top;
	#half;
	#mark;
	#past;
	#points = [];
	#now = 0;
	#pointer = null; // where it is, as a share of the width

	constructor(figure, title, series, format) {
		this.#series = series;
		this.#format = format;
		this.#top = make("span", { class: "y" });
		this.#half = make("span", { class: "y half" });
		this.#past = make("span", { class: "muted" });
		this.#mark = draw("path", { class: "mark" });
		for (const s of series) s.path = draw("path", { class: "line " + s.class });
		const grid = draw("path", { class: "grid", d: `M0 ${height}H${width}M0 ${height / 2}H${width}M0 0H${width}` });
		this.#picture = draw("svg", { role: "img", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" }, grid, ...series.map((s) => s.path), this.#mark);
		const legend = make("div", { class: "now" });
		for (const s of series) {
			s.now = make("strong");
			legend.append(make("span", {}, make("i", { class: "key " + s.class, "aria-hidden": "true" }), s.name + " ", s.now));
		}
		const area = make("div", { class: "area" }, this.#picture, make("div", { class: "ys", "aria-hidden": "true" }, this.#top, this.#half));
		figure.append(make("figcaption", {}, make("h2", {}, title), legend), area, make("div", { class: "x", "aria-hidden": "true" }, this.#past, make("span", { class: "muted" }, "now")));
		area.addEventListener("pointermove", (e) => {
			const box = area.getBoundingClientRect();
			this.#pointer = (e.clientX - box.left) / box.width;
			this.#readOut();
		});
		area.addEventListener("pointerleave", () => {
			this.#pointer = null;
			this.#readOut();
		});
		this.title = title;
	}

	// show draws the points of the last minutes before now.
	show(points, now) {
		[this.#points, this.#now] = [points, now];
		const values = (s) => points.map(s.value).filter(Number.isFinite);
		const top = niceTop(Math.max(0, ...this.#series.flatMap(values)));
		setText(this.#top, this.#format(top));
		setText(this.#half, this.#format(top / 2));
		const words = [];
		for (const s of this.#series) {
			setAttribute(s.path, "d", this.#line(s, top));
			const all = values(s);
			if (all.length) {
				const [least, most] = [Math.min(...all), Math.max(...all)].map(this.#format);
				words.push(`${s.name} now ${this.#format(all.at(-1))}, lowest ${least}, highest ${most}`);
			}
		}
		const seen = points.length ? (now - points[0].at) / 1000 : 0;
		setAttribute(this.#picture, "aria-label", `${this.title} of the last ${span(seen)}: ${words.join("; ") || "nothing is known yet"}`);
		this.#readOut();
	}

	// line is the path of a series. It breaks where there was no picture.
	#line(series, top) {
		let d = "";
		let last = -Infinity;
		for (const p of this.#points) {
			const value = series.value(p);
			if (!Number.isFinite(value)) continue;
			const x = width * (1 - (this.#now - p.at) / length);
			const y = height * (1 - value / top);
			// h0 draws a dot where a line begins: one point alone is to be seen, too.
			const begins = p.at - last > gap;
			d += `${begins ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}${begins ? "h0" : ""}`;
			last = p.at;
		}
		return d;
	}

	// readOut shows the values below the pointer, or those of now.
	#readOut() {
		let point = this.#points.at(-1);
		let past = length;
		if (this.#pointer !== null && point) {
			const at = this.#now - length * (1 - this.#pointer);
			for (const p of this.#points) if (Math.abs(p.at - at) < Math.abs(point.at - at)) point = p;
			past = this.#now - point.at;
			const x = (width * (1 - past / length)).toFixed(1);
			setAttribute(this.#mark, "d", `M${x} 0V${height}`);
		} else {
			setAttribute(this.#mark, "d", "");
		}
		setText(this.#past, span(past / 1000) + " ago");
		for (const s of this.#series) setText(s.now, point && Number.isFinite(s.value(point)) ? this.#format(s.value(point)) : "–");
	}
}

// niceTop is the least of 1, 2, 4, 6, 8 and 10 times a power of ten that is not below value.
export function niceTop(value) {
	if (!(value > 0)) return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	return (([1, 2, 4, 6, 8].find((n) => n * power >= value)) ?? 10) * power;
}
