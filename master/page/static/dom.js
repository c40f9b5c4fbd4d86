// Elements are made and changed only here, and text from outside becomes text: never markup, never an attribute's code.

const svgSpace = "http://www.w3.org/2000/svg";

// byId is an element of page.html.
export function byId(id) {
	return document.getElementById(id);
}

// make is a new element. Children are elements or texts; those that are null are left out.
export function make(tag, attributes = {}, ...children) {
	return fill(document.createElement(tag), attributes, children);
}

// draw is a new element of an SVG picture.
export function draw(tag, attributes = {}, ...children) {
	return fill(document.createElementNS(svgSpace, tag), attributes, children);
}

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
	element.append(...children.filter((child) => child !== null));
	return element;
}

// setText changes the text of an element that has no other content, if it is another one: what did not change costs no layout.
export function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

// setAttribute does the same for an attribute; null removes it.
export function setAttribute(element, name, value) {
	if (value === null) {
		element.removeAttribute(name);
	} else if (element.getAttribute(name) !== String(value)) {
		element.setAttribute(name, value);
	}
}

// setShown shows or hides an element.
export function setShown(element, shown) {
	if (element.hidden === shown) element.hidden = !shown;
}

// keep makes the children of parent those for items, in their order: a child stays for as long as there is an item with its key,
// and is not moved while the order is the same, so that it keeps the focus. create(item) makes one, update(child, item) brings
// it up to date.
export function keep(parent, items, key, create, update) {
	const old = parent.kept ?? new Map();
	const wanted = new Set(items.map(key));
	for (const [k, child] of old) if (!wanted.has(k)) child.remove();
	parent.kept = new Map();
	let at = parent.firstChild;
	for (const item of items) {
		const k = key(item);
		const child = old.get(k) ?? create(item);
		parent.kept.set(k, child);
		update(child, item);
		if (child === at) {
			at = at.nextSibling;
		} else {
			parent.insertBefore(child, at);
		}
	}
}
