// The pages work without this script. It keeps them up to date, copies, and answers keys.

const every = 5000; // ms between updates
const late = 15000; // ms after which a page counts as not updated

const body = document.body;
const base = new URL(body.dataset.base, location.href);
const age = document.getElementById("age");
let updated = Date.now(); // when what is shown was read
let paused = false; // by the person
let failed = false; // the last update did
let timer = 0;

// busy says why an update would disturb what somebody is doing; empty: it would not.
function busy() {
	const focus = document.activeElement;
	if (document.querySelector("tbody input:checked")) return "while rows are ticked";
	if (focus && focus.matches("input:not([type=checkbox]), select, textarea")) return "while you type";
	if (!getSelection().isCollapsed) return "while text is selected";
	if (document.querySelector("dialog[open]")) return "while you read this";
	return "";
}

// update reads the page anew and puts its live parts in the place of those shown.
async function update() {
	clearTimeout(timer);
	try {
		const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error", headers: { Accept: "text/html" } });
		if (!answer.ok) throw new Error(answer.statusText);
		const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
		if (fresh.body.dataset.page !== body.dataset.page) throw new Error("another page");
		if (!busy()) {
			for (const part of document.querySelectorAll("[data-live][id]")) swap(part, fresh.getElementById(part.id));
			updated = Date.now();
		}
		failed = false;
	} catch {
		failed = true; // the age says so, and the next update may work
	}
	showAge();
	plan();
}

// swap shows what is in fresh in a part, and keeps what is open, focused and marked there.
function swap(part, fresh) {
	if (!fresh) return;
	prepare(fresh); // as the part was, or it would differ each time
	if (fresh.innerHTML === part.innerHTML) return;
	const opened = [...part.querySelectorAll("details[open][id]")].map((d) => d.id);
	const href = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
	const here = row && part.contains(row) ? rowKey(row) : null;
	part.replaceChildren(...fresh.childNodes);
	for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
	if (href) part.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
	if (here) mark([...rows()].find((r) => rowKey(r) === here), false);
}

// plan has the next update made, unless nobody looks.
function plan() {
	clearTimeout(timer);
	if (document.hidden || paused || !("live" in body.dataset)) return;
	timer = setTimeout(() => (busy() ? (showAge(), plan()) : update()), every);
}

const span = (ms) => {
	const s = Math.round(ms / 1000);
	return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`;
};

// showAge says how old the page is, and what can be done about it.
function showAge() {
	if (!age || !("live" in body.dataset)) return;
	const old = Date.now() - updated;
	const why = busy();
	let text = `Updated ${span(old)} ago`;
	if (paused) text = `Paused, ${span(old)} old`;
	else if (why) text = `Paused ${why}, ${span(old)} old`;
	else if (failed || old > late) text = `Not updated for ${span(old)}`;
	const stopped = paused || why || failed || old > late;
	age.classList.toggle("stopped", Boolean(stopped));
	age.firstElementChild.textContent = text;
	age.lastElementChild.textContent = paused ? "Go on" : stopped ? "Update" : "Pause";
}

function startAge() {
	if (!age || !("live" in body.dataset)) return;
	const button = document.createElement("button");
	button.className = "text";
	button.type = "button";
	button.addEventListener("click", () => {
		if (age.classList.contains("stopped") && !paused) return update();
		togglePause();
	});
	age.querySelector("a").replaceWith(button);
	showAge();
	setInterval(() => document.hidden || showAge(), 1000);
	document.addEventListener("visibilitychange", () => {
		if (document.hidden) clearTimeout(timer);
		else if (!paused && !busy() && Date.now() - updated > every) update();
		else plan();
	});
	plan();
}

function togglePause() {
	paused = !paused;
	if (paused) clearTimeout(timer);
	else update();
	showAge();
}

// copy puts a text on the clipboard. On plain HTTP there is no navigator.clipboard, so the
// text is selected and copied as by hand.
async function copy(text) {
	if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
	const area = document.createElement("textarea");
	area.value = text;
	area.className = "hide";
	body.append(area);
	area.select();
	const done = document.execCommand("copy");
	area.remove();
	if (!done) throw new Error("not copied");
}

document.addEventListener("click", async (event) => {
	const button = event.target.closest("[data-copy]");
	if (!button) return;
	const source = document.getElementById(button.dataset.copy);
	const words = button.textContent;
	try {
		await copy("value" in source ? source.value : source.textContent);
		button.textContent = "Copied";
	} catch {
		button.textContent = "Select and copy it yourself";
		source.closest("details")?.setAttribute("open", "");
		getSelection().selectAllChildren(source);
	}
	setTimeout(() => (button.textContent = words), 2000);
});

// prepare shows what only works with this script.
function prepare(within) {
	for (const e of within.querySelectorAll("[data-script]")) e.hidden = false;
	for (const e of within.querySelectorAll("[data-tick-all]")) e.hidden = false;
}

document.addEventListener("change", (event) => {
	if (event.target.matches("[data-tick-all]")) {
		for (const box of document.querySelectorAll("tbody input[type=checkbox]")) box.checked = event.target.checked;
	}
	const ticked = document.querySelectorAll("tbody input[type=checkbox]:checked").length;
	for (const e of document.querySelectorAll("[data-ticked]")) e.textContent = ticked || "";
	showAge();
});

// Keys. Whoever types, or holds Ctrl, Alt or Meta, means something else.
let row = null;
let went = 0; // when g was pressed
const rows = () => document.querySelectorAll("main tbody tr:has(a[href])");
const rowKey = (r) => r.querySelector("a[href]")?.getAttribute("href");

function mark(next, scroll = true) {
	if (!next) return;
	row?.classList.remove("here");
	row = next;
	row.classList.add("here");
	const link = row.querySelector("a[href]");
	if (scroll) link?.focus();
}

function step(by) {
	const all = [...rows()];
	const at = all.indexOf(row);
	mark(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]);
}

const pages = { o: "", d: "deliveries", f: "failures", e: "events", n: "endpoints", t: "types", a: "actions", s: "system" };
const keys = {
	"/": () => document.getElementById("find")?.focus(),
	j: () => step(1),
	k: () => step(-1),
	x: () => {
		const box = row?.querySelector("input[type=checkbox]");
		if (box) box.click();
	},
	r: togglePause,
	d: () => document.querySelector("[data-key=d]")?.click(),
	g: () => (went = Date.now()),
	"?": help,
};

document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.altKey || event.metaKey) return;
	if (event.key === "Escape" && event.target.matches("input, textarea, select")) return event.target.blur();
	if (event.target.matches("input:not([type=checkbox]), textarea, select")) return;
	if (Date.now() - went < 1500 && event.key in pages) {
		went = 0;
		location.href = new URL(pages[event.key], base);
		return event.preventDefault();
	}
	const act = keys[event.key];
	if (act) {
		event.preventDefault();
		act();
	}
});

const helpTexts = [
	["/", "search"], ["j k", "next, previous row"], ["x", "tick the row"], ["Enter", "open the row"],
	["g o", "Overview"], ["g d", "Deliveries"], ["g f", "Failures"], ["g e", "Events"], ["g n", "Endpoints"],
	["g t", "Event types"], ["g a", "Actions"], ["g s", "System"], ["r", "pause or go on"], ["d", "compare attempts"], ["?", "these keys"],
];

function help() {
	let box = document.getElementById("keys");
	if (!box) {
		box = document.createElement("dialog");
		box.id = "keys";
		box.setAttribute("aria-label", "Keys");
		const list = document.createElement("dl");
		list.className = "facts";
		for (const [key, text] of helpTexts) {
			const name = document.createElement("dt");
			for (const k of key.split(" ")) name.append(Object.assign(document.createElement("kbd"), { textContent: k }), " ");
			list.append(name, Object.assign(document.createElement("dd"), { textContent: text }));
		}
		const close = Object.assign(document.createElement("button"), { textContent: "Close", type: "button" });
		close.addEventListener("click", () => box.close());
		box.append(list, close);
		body.append(box);
	}
	if (box.open) box.close();
	else box.showModal();
}

prepare(document);
startAge();
