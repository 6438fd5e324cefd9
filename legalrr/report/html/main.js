// Builds the sections; handles addresses and keys.

const status = document.querySelector(".status");
const reader = new Reader();
const list = DATA.collections.length ? new JudgmentList((which, place) => reader.open(which, place, reader.cell)) : null;

const SECTIONS = [
  ["results", "Results", resultsSection],
  ["compared", "Arms compared", comparedSection],
  DATA.repeats.length > 0 && ["repeats", "Repeated runs", repeatsSection],
  ["effects", "Effects", effectsSection],
  DATA.explanations.length > 0 && ["explanations", "Explanations", explanationsSection],
  ["errors", "Errors", errorsSection],
  ["health", "Health and cost", healthSection],
  ["judgments", "Judgments", judgmentsSection],
  ["provenance", "Provenance", provenanceSection],
].filter(Boolean);

function judgmentsSection() {
  if (!list) return [el("p", { class: "note" }, "No cell has answers yet.")];
  const lead = "A bar per arm: tall if right, low if wrong, a dot if the answer is invalid.";
  const keys = el("p", { class: "keys" }, el("kbd", {}, "j"), " ", el("kbd", {}, "k"), " next and previous judgment, ", el("kbd", {}, "h"), " ", el("kbd", {}, "l"), " previous and next arm, ", el("kbd", {}, "/"), " search");
  return [el("p", { class: "lead" }, lead), sampleNote(), keys, el("div", { class: "desk" }, list.node, reader.node)];
}

// Which judgments have texts in this page, and how to get others; nothing if all have.
function sampleNote() {
  const held = sum(DATA.texts);
  const all = sum(DATA.collections.map((one) => one.ids.length));
  if (held === all) return null;
  const kinds = DATA.sample.kinds.map((one) => `${one.kind} ${count(one.texts)} of ${count(one.all)}`).join("; ");
  const named = DATA.sample.ids.length > 0 ? ", after those named by --id" : "";
  return el(
    "p",
    { class: "lead sample" },
    `All numbers and the list are of all ${count(all)} judgments. Documents, prompts and answers are of a sample of ${count(held)}: each kind of judgment in turn, by its outcome, in the order of the SHA-256 of the id${named}, up to ${DATA.sample.megabytes} MB. `,
    `By the answers of the arms: ${kinds}. `,
    OTHERS
  );
}

function build() {
  replace(document.getElementById("summary"), summary());
  const menu = document.querySelector("nav ol");
  const main = document.querySelector("main");
  for (const [id, title, make] of SECTIONS) {
    menu.append(el("li", {}, el("a", { href: `#${id}` }, title)));
    main.append(el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), make()));
  }
  if (list && list.places.length) reader.open(0, list.places[0], undefined, false);
  document.getElementById("figures").remove();
  follow();
  document.body.dataset.ready = "true";
  performance.mark("ready");
}

// Marks the section in view in the menu.
function watch() {
  const links = new Map([...document.querySelectorAll("nav a")].map((anchor) => [anchor.hash.slice(1), anchor]));
  const seen = new Set();
  const observer = new IntersectionObserver(
    (entries) => {
      entries.forEach((entry) => (entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id)));
      const first = SECTIONS.map(([id]) => id).find((id) => seen.has(id));
      links.forEach((anchor, id) => (id === first ? anchor.setAttribute("aria-current", "true") : anchor.removeAttribute("aria-current")));
    },
    { rootMargin: "-10% 0px -60% 0px" }
  );
  document.querySelectorAll("main > section").forEach((section) => observer.observe(section));
}

// #case=...&arm=... opens a judgment; every other address is an anchor in the page.
function follow() {
  const params = new URLSearchParams(location.hash.slice(1));
  if (!params.has("case")) return;
  const wanted = params.get("case");
  const given = params.has("corpus") ? [Number(params.get("corpus"))] : DATA.collections.map((_, number) => number);
  const which = given.find((number) => DATA.collections[number] && DATA.collections[number].ids.includes(wanted));
  if (which === undefined) {
    status.textContent = `No judgment ${visible(wanted)} is in this report.`;
    return;
  }
  const cells = cellsOf(DATA.collections[which]);
  const stated = params.has("cell") ? Number(params.get("cell")) : -1;
  const cell = cells.includes(stated) ? stated : cells.find((number) => DATA.cells[number].arm === params.get("arm"));
  status.textContent = cell === undefined && params.has("arm") ? `No arm ${visible(params.get("arm"))} has this judgment.` : "";
  reader.cell = cell;
  list.point(which, DATA.collections[which].ids.indexOf(wanted));
  document.getElementById("judgments").scrollIntoView();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = {
    j: () => list.choose(list.active + 1),
    k: () => list.choose(list.active < 0 ? 0 : list.active - 1),
    l: () => reader.step(1),
    h: () => reader.step(-1),
    "/": () => list.search.focus(),
  }[event.key];
  if (!act || !list) return;
  event.preventDefault();
  act();
}

build();
watch();
addEventListener("hashchange", follow);
document.addEventListener("keydown", keys);
