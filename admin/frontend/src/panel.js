// The panel's script. Every page works without it: it puts times into the viewer's zone, and has lists that are in
// sight asked for anew (htmx; the page itself is the answer, of which it takes the part that is live).
import "htmx.org/dist/htmx.esm.js";

const EVERY = 5; // seconds between two looks, where the page does not say another number of them
const SOON = 1000; // milliseconds from news to a look, unless the last one was just now

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" }); // 2026-03-01 09:30:12

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-zoned])")) {
    const shown = time.querySelector(".clock");
    const moment = new Date(time.dateTime);
    if (!shown || Number.isNaN(moment.getTime())) continue;
    time.dataset.zoned = "";
    const exact = document.createElement("span");
    exact.className = "exact";
    exact.textContent = `${clock.format(moment)} · ${shown.textContent} UTC`;
    shown.textContent = clock.format(moment);
    time.append(exact);
    if (!time.closest("a, button, summary")) time.tabIndex = 0; // whoever has no mouse gets to the exact time too
  }
}

// What ends within a day is counted down to the second.
const two = (number) => String(number).padStart(2, "0");
function countDown() {
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const left = Math.ceil((new Date(time.dateTime) - Date.now()) / 1000);
    const shown = time.querySelector(".ago");
    if (!shown || !(left < 86400)) continue;
    const [hours, minutes] = [Math.floor(left / 3600), Math.floor(left / 60) % 60];
    shown.textContent = left <= 0 ? "over" : `in ${hours ? `${hours}:${two(minutes)}` : minutes}:${two(left % 60)}`;
  }
}

// Nothing is taken from under somebody's hands: not what has the focus, is unfolded or is selected.
function busy(live) {
  const selected = document.getSelection();
  return (
    live.contains(document.activeElement) ||
    live.querySelector("details[open], .rope") !== null ||
    (selected && !selected.isCollapsed && live.contains(selected.anchorNode))
  );
}

function tick() {
  const live = document.querySelector("[data-live]");
  if (live && !still() && document.visibilityState === "visible" && !busy(live)) {
    document.body.dispatchEvent(new CustomEvent("panel-tick"));
  }
}

// A list that is followed like a log shows which rows have just come, and stands still on demand.
let list = null;
let known = null;
let more = false; // came between two looks than a page has room for
function mark() {
  const shown = document.querySelector("[data-tail]");
  if (shown === list) return;
  list = shown;
  const rows = [...shown.querySelectorAll("[data-row]")];
  if (known) for (const row of rows) row.classList.toggle("just-come", !known.has(row.dataset.row));
  more = Boolean(known?.size) && rows.every((row) => !known.has(row.dataset.row));
  say();
  known = new Set(rows.map((row) => row.dataset.row));
}

const tail = document.getElementById("tail");
function say() {
  tail.textContent = still() ? "Paused" : more ? "Live: more than fit" : "Live";
}
const still = () => tail?.getAttribute("aria-pressed") === "false";
if (tail) {
  tail.hidden = false;
  tail.addEventListener("click", () => {
    tail.setAttribute("aria-pressed", String(still()));
    say();
    tick();
  });
  mark();
}

// A list that names a stream (server-sent events) is asked for anew as soon as there is news. A browser has few
// connections for one host, so a page that nobody sees holds none. Its address says which events the list has, so that
// none goes by unseen before the stream is open.
let stream, due;
let looked = 0;
function listen() {
  if (document.visibilityState !== "visible") {
    stream?.close();
    stream = undefined;
  } else if (!stream || stream.readyState === EventSource.CLOSED) {
    stream = new EventSource(document.querySelector("[data-stream]").dataset.stream);
    stream.onmessage = () => {
      due ??= setTimeout(() => {
        due = undefined;
        looked = Date.now();
        tick();
      }, Math.max(SOON, looked + 1000 * EVERY - Date.now())); // in a busy minute no more often than without a stream
    };
  }
}

// "/" jumps to the search from wherever nothing is typed.
const search = document.querySelector(".find input");
document.querySelector(".find kbd").hidden = false;
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  event.preventDefault();
  search.focus();
});

const said = document.querySelector("[data-zone]");
if (said) said.textContent = `times in ${zone}`;
localTimes(document);
countDown();
setInterval(countDown, 1000);
new MutationObserver(() => {
  localTimes(document);
  if (tail) mark();
}).observe(document.body, { childList: true, subtree: true });
const live = document.querySelector("[data-live]");
if (live) setInterval(tick, 1000 * (live.dataset.every ?? EVERY));
if (live?.dataset.stream) {
  listen();
  document.addEventListener("visibilitychange", listen);
}
