// The map's script. The page works without it, as links and a form; with it the parts that change are put in place,
// the slider is followed, a part of the map can be drawn, and what is pointed at in the list shows on the map and back.
const PARTS = ["atlas", "chips", "filters", "switch", "as-list", "top", "about"];
const SLIDER = ["slider-says", "strip"];
const DELAY = 90; // milliseconds that the slider has to rest
const STEP = 900; // milliseconds of a bar while it plays
const STRETCH = 1 + Math.SQRT2; // Gall's stereographic projection, as in geo/projection.py

let asked = 0;
let playing = null;

// The newest question wins; whatever is no page (an outage, a login that is needed) is left to the browser to show.
async function show(address, { sliding = false } = {}) {
  const mine = ++asked;
  let page = null;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.ok) page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    // the network is away; the browser says so better
  }
  if (mine !== asked) return;
  if (page === null || !page.getElementById("atlas")) {
    location.assign(address);
    return;
  }
  const held = heldPlace();
  for (const id of [...PARTS, ...(sliding ? SLIDER : ["slider"])]) {
    const old = document.getElementById(id);
    const fresh = document.adoptNode(page.getElementById(id));
    if (id === "filters") fresh.open = old.open;
    old.replaceWith(fresh);
    window.htmx.process(fresh);
  }
  history.replaceState(null, "", address);
  if (sliding) {
    document.getElementById("at").setAttribute("aria-valuetext", page.getElementById("at").getAttribute("aria-valuetext"));
  }
  if (!sliding) ready();
  if (held) giveFocusBack(held);
}

// Bubbles are numbered anew on each picture; what one is called, and what came from there, is the same.
function heldPlace() {
  const spot = document.activeElement?.closest("[data-spot]")?.dataset.spot;
  return spot && (document.querySelector(`.bubble[data-spot="${spot}"]`)?.getAttribute("aria-label") ?? spot);
}

function giveFocusBack(place) {
  const same = [...document.querySelectorAll(".bubble")].find((one) => one.getAttribute("aria-label") === place);
  (same ?? document.getElementById("whole") ?? document.querySelector(".bubble"))?.focus();
}

function slide() {
  const form = document.getElementById("slider");
  const query = new URLSearchParams(new FormData(form));
  const at = document.getElementById("at");
  if (at.value === at.max) query.delete("at");
  return show(`${form.getAttribute("action")}?${query}`, { sliding: true });
}

function stop() {
  clearTimeout(playing.timer);
  playing = null;
  const button = document.getElementById("play");
  button.textContent = "Play";
  button.setAttribute("aria-pressed", "false");
}

function play() {
  if (playing !== null) return stop();
  const button = document.getElementById("play");
  button.textContent = "Stop";
  button.setAttribute("aria-pressed", "true");
  const mine = (playing = { timer: undefined });
  const next = async () => {
    const at = document.getElementById("at");
    at.value = at.value === at.max ? at.min : Number(at.value) + 1;
    await slide(); // or a slow network would never show a bar before the next one
    if (playing !== mine) return;
    if (at.value === at.max) stop();
    else mine.timer = setTimeout(next, STEP);
  };
  next();
}

function light(spot, on) {
  for (const one of document.querySelectorAll("[data-spot]")) {
    one.classList.toggle("lit", on && one.dataset.spot === spot);
  }
}

// A finger scrolls the page; with the button pressed it draws, once.
function drawing(on) {
  const button = document.getElementById("draw");
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Drag over the map" : "Select an area";
  document.body.classList.toggle("drawing", on);
  // touch-action may be known too late to the compositor, which would scroll and take the finger away
  if (on) document.addEventListener("touchmove", keepStill, { passive: false });
  else document.removeEventListener("touchmove", keepStill);
}

function keepStill(event) {
  if (event.target.closest?.("#world") && event.cancelable) event.preventDefault();
}

// A rectangle that is drawn on the map selects what is in it.
function draw(world, begun) {
  const turn = world.getScreenCTM().inverse();
  const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(turn);
  const from = at(begun);
  let rope = null;
  const move = (event) => {
    const to = at(event);
    if (!rope && Math.hypot(event.clientX - begun.clientX, event.clientY - begun.clientY) < 6) return;
    if (!rope) {
      rope = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      rope.setAttribute("class", "rope");
      world.append(rope);
      world.setPointerCapture(begun.pointerId);
    }
    rope.setAttribute("x", Math.min(from.x, to.x));
    rope.setAttribute("y", Math.min(from.y, to.y));
    rope.setAttribute("width", Math.abs(to.x - from.x));
    rope.setAttribute("height", Math.abs(to.y - from.y));
  };
  const end = (event) => {
    for (const [name, heard] of heardOf) world.removeEventListener(name, heard);
    if (!rope) return;
    rope.remove();
    drawing(false);
    if (event.type === "pointerup") show(world.dataset.area.replace("AREA", area(world, from, at(event))));
    // the click that ends the drawing opens nothing
    world.addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
  };
  const heardOf = [["pointermove", move], ["pointerup", end], ["pointercancel", end]];
  for (const [name, heard] of heardOf) world.addEventListener(name, heard);
}

function area(world, one, other) {
  const { width, scale, top } = world.dataset;
  const longitude = (x) => Math.min(Math.max((x / width) * 360 - 180, -180), 180).toFixed(2);
  const latitude = (y) => (((2 * Math.atan((top - y) / scale / STRETCH)) * 180) / Math.PI).toFixed(2);
  const [left, right] = [one.x, other.x].sort((a, b) => a - b);
  const [high, low] = [one.y, other.y].sort((a, b) => a - b);
  return [latitude(low), longitude(left), latitude(high), longitude(right)].join(",");
}

function ready() {
  document.getElementById("play").hidden = false;
  document.getElementById("draw").hidden = false;
  document.querySelector("[data-noscript]").hidden = true;
  if (playing !== null) stop();
}

let resting = null;
document.addEventListener("input", (event) => {
  if (event.target.id !== "at") return;
  clearTimeout(resting);
  resting = setTimeout(slide, DELAY);
});
document.addEventListener("click", (event) => {
  if (event.target.id === "play") return play();
  if (event.target.id === "draw") return drawing(event.target.getAttribute("aria-pressed") === "false");
  const link = event.target.closest?.("a[data-map], #chips a");
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  show(link.getAttribute("href"));
});
document.addEventListener("pointerdown", (event) => {
  const world = event.target.closest?.("#world");
  const draws = event.pointerType === "mouse" || document.body.classList.contains("drawing");
  if (world && event.isPrimary && event.button === 0 && draws) draw(world, event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") drawing(false);
});
for (const [name, on] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
  document.addEventListener(name, (event) => {
    const one = event.target.closest?.("[data-spot]");
    if (one) light(one.dataset.spot, on);
  });
}
document.addEventListener("dragstart", (event) => {
  if (event.target.closest?.("#world")) event.preventDefault(); // links can be dragged; here a rectangle is
});
ready();
