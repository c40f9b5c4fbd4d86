// Numbers and texts for people. Units are those of the other commands: seconds in, MB of 2^20 bytes out.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

// count is a whole number with groups of three digits.
export function count(n) {
	return whole.format(n);
}

// rate is a number a second: with a digit behind the point while it is small.
export function rate(n) {
	return n > 0 && n < 10 ? n.toFixed(1) : count(n);
}

// latency is a duration of a request with three significant digits at most. 0 is one that is not known.
export function latency(seconds) {
	if (!(seconds > 0)) return "–";
	if (seconds < 0.001) return digits(seconds * 1e6) + " µs";
	if (seconds < 1) return digits(seconds * 1e3) + " ms";
	return digits(seconds) + " s";
}

function digits(x) {
	return x < 9.995 ? x.toFixed(2) : x < 99.95 ? x.toFixed(1) : count(x);
}

// span is a longer duration with two units at most.
export function span(seconds) {
	const s = Math.max(0, Math.floor(seconds));
	const two = (n) => String(n).padStart(2, "0");
	if (s < 60) return s + " s";
	if (s < 3600) return Math.floor(s / 60) + " min " + two(s % 60) + " s";
	if (s < 86400) return Math.floor(s / 3600) + " h " + two(Math.floor(s / 60) % 60) + " min";
	return Math.floor(s / 86400) + " d " + two(Math.floor(s / 3600) % 24) + " h";
}

// running is how long a request has been running: with tenths while it is short.
export function running(seconds) {
	return seconds < 60 ? seconds.toFixed(1) + " s" : span(seconds);
}

// megabytes is a number of bytes in MB, without the unit.
export function megabytes(bytes) {
	const mb = bytes / (1 << 20);
	return mb < 1000 ? mb.toFixed(1) : count(mb);
}

// percent is a share of 1.
export function percent(share) {
	return share > 0 && share < 0.01 ? "<1%" : Math.round(100 * share) + "%";
}

// plural is a number and its noun.
export function plural(n, noun) {
	return count(n) + " " + noun + (n === 1 ? "" : "s");
}

// shown is a text from outside, such as a path, with all that cannot be seen, or that would turn the text around, as an escape.
export function shown(text) {
	return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, (c) => {
		const code = c.codePointAt(0);
		if (c === "\n") return "\\n";
		if (c === "\t") return "\\t";
		if (code < 0x100) return "\\x" + code.toString(16).padStart(2, "0");
		return "\\u{" + code.toString(16) + "}";
	});
}
