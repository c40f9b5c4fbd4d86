// The stream of server-sent events (HTML Living Standard, 9.2), read with fetch, since EventSource can send no token.

const longestWait = 10_000; // milliseconds between two tries
const silence = 8_000; // milliseconds after which a stream that sends nothing is given up: it should send each second

// Parser takes the text of a stream in pieces, cut anywhere, and returns the events that are whole.
export class Parser {
	#rest = "";
	#name = "";
	#data = [];
	#id = "";

	feed(text) {
		const events = [];
		this.#rest += text;
		for (;;) {
			const end = this.#rest.search(/[\r\n]/);
			// A \r at the very end may be half of \r\n.
			if (end < 0 || (this.#rest[end] === "\r" && end === this.#rest.length - 1)) return events;
			const line = this.#rest.slice(0, end);
			this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
			const event = this.#line(line);
			if (event) events.push(event);
		}
	}

	#line(line) {
		if (line === "") {
			const event = this.#data.length ? { name: this.#name || "message", data: this.#data.join("\n"), id: this.#id } : null;
			this.#name = "";
			this.#data = [];
			return event;
		}
		const colon = line.indexOf(":");
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
		if (field === "event") this.#name = value;
		else if (field === "data") this.#data.push(value);
		else if (field === "id") this.#id = value;
		return null; // a comment, or a field that nobody knows
	}
}

// Stream keeps a stream open and connects anew when it breaks. on(name, data, id) is told each event, changed() when state has
// become another one: connecting, live, lost, or token, when nothing goes on until use is called.
export class Stream {
	state = "connecting";
	why = ""; // it is lost, or the token was refused
	heard = 0; // when the last data came, in milliseconds as of performance.now; 0: never
	retryAt = 0; // when it tries again
	skew = 0; // milliseconds that the server's clock is ahead of this one
	lastID = "";
	#url;
	#on;
	#changed;
	#token = null;
	#fails = 0;
	#timer = 0;
	#abort = null;

	constructor(url, on, changed) {
		[this.#url, this.#on, this.#changed] = [url, on, changed];
	}

	// use makes token that of all requests from now on, and connects.
	use(token) {
		this.#token = token;
		this.connect();
	}

	// connect tries at once. Another try that goes on is given up.
	async connect() {
		clearTimeout(this.#timer);
		this.#abort?.abort();
		const abort = (this.#abort = new AbortController());
		const current = () => this.#abort === abort;
		try {
			await this.#read(abort, current);
			if (current()) this.#lost("the stream has ended");
		} catch (error) {
			if (current()) this.#lost(abort.signal.aborted ? "nothing was sent for a while" : String(error.message ?? error));
		}
		if (current()) this.#abort = null;
		abort.abort();
	}

	async #read(abort, current) {
		const headers = { Accept: "text/event-stream" };
		if (this.#token) headers.Authorization = "Bearer " + this.#token;
		if (this.lastID) headers["Last-Event-ID"] = this.lastID;
		let watch = setTimeout(() => abort.abort(), silence);
		try {
			const answer = await fetch(this.#url, { headers, signal: abort.signal, cache: "no-store", credentials: "same-origin" });
			if (!current()) return;
			if (answer.status === 401) {
				this.#become("token", this.#token ? "This token was refused." : "");
				this.#abort = null;
				return;
			}
			if (!answer.ok) throw new Error(await refusal(answer));
			const date = Date.parse(answer.headers.get("Date"));
			if (date) this.skew = date - Date.now();
			const parser = new Parser();
			const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
			for (;;) {
				const { value, done } = await reader.read();
				if (done || !current()) return;
				clearTimeout(watch);
				watch = setTimeout(() => abort.abort(), silence);
				for (const event of parser.feed(value)) {
					if (event.id) this.lastID = event.id;
					this.#on(event.name, event.data, event.id);
					if (!current()) return;
				}
				this.heard = performance.now();
				this.#fails = 0;
				if (this.state !== "live") this.#become("live", "");
			}
		} finally {
			clearTimeout(watch);
		}
	}

	// lost notes why and tries again later: each time after longer, and not at the same moment as all other pages.
	#lost(why) {
		const wait = Math.min(longestWait, 500 * 2 ** this.#fails) * (0.8 + 0.4 * Math.random());
		this.#fails++;
		this.retryAt = performance.now() + wait;
		this.#timer = setTimeout(() => this.connect(), wait);
		this.#become("lost", why);
	}

	#become(state, why) {
		[this.state, this.why] = [state, why];
		this.#changed();
	}
}

// refusal is why a server refuses, in its own words if it has any.
async function refusal(answer) {
	let words = "";
	try {
		words = (await answer.json()).error ?? "";
	} catch {
		// It is not one of the cluster's answers: a proxy's, perhaps.
	}
	return words || "the server answers " + answer.status + " " + answer.statusText;
}
