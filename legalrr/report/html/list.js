// The list of judgments; only the lines in view are elements of the page.

const LINE = 44;
const ORDERS = ["arms disagree first", "most often wrong first", "by id", "longest first"];
const COMPARED = ["all judgments", "the two answer differently", "only the arm is right", "only the reference is right", "the arm is wrong", "the arm\u2019s answer is invalid"];
const OTHERS = "For others: legalrr report DIR --id ID; for more: --sample N, --texts MEGABYTES.";
const WORDS = { A: "allowed", D: "dismissed", "-": "invalid", " ": "not run" };

// Columns are stored as their distinct values, and the place of each judgment's value.
for (const one of DATA.collections) {
  one.facts = Object.fromEntries(Object.entries(one.facts).map(([name, { values, at }]) => [name, at.map((place) => values[place])]));
}

// Cells in the order of the groups, arms before baselines.
function cellsOf(collection) {
  const answered = new Set(Object.keys(collection.answers).map(Number));
  return unique(DATA.groups.flatMap((group) => group.rows)).filter((number) => answered.has(number));
}

function rightWrong(collection, place) {
  const gold = collection.gold[place];
  const found = { right: [], wrong: [], invalid: [] };
  cellsOf(collection).forEach((cell, at) => {
    const said = collection.answers[cell][place];
    if (said === " ") return;
    found[said === "-" ? "invalid" : said === gold ? "right" : "wrong"].push(at);
  });
  return found;
}

// A mark per cell: a tall bar if right, a low one if wrong, a dot if invalid.
function strip(collection, place, width = 150) {
  const all = cellsOf(collection).length;
  const step = Math.min(8, width / all);
  const found = rightWrong(collection, place);
  const path = (places, y, height) => places.map((at) => `M${(at * step).toFixed(2)} ${y}h${(step * 0.75).toFixed(2)}v${height}h${(-step * 0.75).toFixed(2)}z`).join("");
  return svg(
    "svg",
    { class: "strip", viewBox: `0 0 ${width} 16`, width, height: 16, "aria-hidden": "true" },
    svg("path", { class: "right", d: path(found.right, 1, 14) }),
    svg("path", { class: "wrong", d: path(found.wrong, 9, 6) }),
    svg("path", { class: "invalid", d: path(found.invalid, 13, 2) })
  );
}

class JudgmentList {
  constructor(open) {
    this.open = open;
    this.which = 0;
    this.order = 0;
    this.gold = 0;
    this.words = "";
    this.arm = null;
    this.compared = 0;
    this.active = -1;
    this.inner = el("div", { class: "lines" });
    this.box = el("div", { class: "list", tabindex: 0, role: "listbox", "aria-label": "Judgments", onscroll: () => this.draw(), onkeydown: (event) => this.key(event) }, this.inner);
    this.status = el("p", { class: "note", "aria-live": "polite" });
    this.search = el("input", { type: "search", placeholder: "id, court, year\u2026", "aria-label": "Search judgments", oninput: () => this.set({ words: this.search.value.trim().toLowerCase() }) });
    this.tools = el("div", { class: "tools" });
    this.node = el("div", { class: "browser" }, this.tools, this.status, this.box);
    this.set({});
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  get collection() {
    return DATA.collections[this.which];
  }

  // Updates the list after a change of filter, order or corpus.
  set(changes) {
    if ("which" in changes && changes.which !== this.which) this.arm = null;
    Object.assign(this, changes);
    if (!("words" in changes)) this.draw_tools();
    const chosen = this.active >= 0 ? this.places[this.active] : null;
    this.places = this.sorted(Array.from(this.collection.ids, (_, place) => place).filter((place) => this.wanted(place)));
    this.active = this.places.indexOf(chosen);
    this.inner.style.height = `${this.places.length * LINE}px`;
    this.box.scrollTop = 0;
    replace(this.status, `${count(this.places.length)} of ${plural(this.collection.ids.length, "judgment")}`);
    this.draw(true);
  }

  draw_tools() {
    const cells = cellsOf(this.collection);
    const armed = cells.filter((number) => DATA.cells[number].scored);
    if (this.arm === null || !armed.includes(this.arm)) this.arm = armed.find((number) => !DATA.cells[number].reference) ?? armed[0];
    replace(
      this.tools,
      DATA.collections.length > 1 && picker("Corpus", DATA.collections.map((one) => one.name), this.which, (which) => this.set({ which })),
      this.search,
      picker("Order", ORDERS, this.order, (order) => this.set({ order })),
      picker("Outcome", ["any", "allowed", "dismissed"], this.gold, (gold) => this.set({ gold })),
      picker("Arm", armed.map((number) => cellName(number, false)), armed.indexOf(this.arm), (at) => this.set({ arm: armed[at] })),
      picker("Where", COMPARED, this.compared, (compared) => this.set({ compared }))
    );
  }

  wanted(place) {
    const { collection } = this;
    const gold = collection.gold[place];
    if (this.gold && gold !== "AD"[this.gold - 1]) return false;
    if (this.words) {
      const values = [collection.ids[place], ...Object.values(collection.facts).map((column) => column[place])];
      if (!values.some((one) => one !== null && String(one).toLowerCase().includes(this.words))) return false;
    }
    if (!this.compared) return true;
    const said = collection.answers[this.arm][place];
    const other = collection.answers[referenceOf(this.arm)]?.[place];
    return [said !== other, said === gold && other !== gold, said !== gold && other === gold, said !== gold && said !== " ", said === "-"][this.compared - 1];
  }

  sorted(places) {
    const { collection } = this;
    const wrong = () => {
      const found = collection.ids.map((_, place) => rightWrong(collection, place));
      return (place) => -found[place].wrong.length - found[place].invalid.length;
    };
    if (this.order === 1) return by(places, wrong());
    if (this.order === 2) return places.sort((one, other) => collection.ids[one].localeCompare(collection.ids[other], "en", { numeric: true }));
    if (this.order === 3) return by(places, (place) => -(collection.length[place] || 0));
    return places;
  }

  draw(anew = false) {
    const first = Math.max(0, Math.floor(this.box.scrollTop / LINE) - 4);
    const last = Math.min(this.places.length, first + Math.ceil((this.box.clientHeight || 400) / LINE) + 8);
    if (!anew && first === this.first && last === this.last) return;
    [this.first, this.last] = [first, last];
    replace(this.inner, this.places.slice(first, last).map((place, at) => this.line(place, first + at)));
    if (this.active >= first && this.active < last) this.box.setAttribute("aria-activedescendant", `line-${this.active}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  line(place, at) {
    const { collection } = this;
    const found = rightWrong(collection, place);
    const all = found.right.length + found.wrong.length + found.invalid.length;
    const facts = ["year", "court"].map((name) => collection.facts[name]?.[place]).filter((value) => value !== null && value !== undefined);
    return el(
      "div",
      {
        id: `line-${at}`,
        class: "line",
        role: "option",
        "aria-selected": String(at === this.active),
        "aria-posinset": at + 1,
        "aria-setsize": this.places.length,
        "aria-label": `${collection.ids[place]}, ${WORDS[collection.gold[place]]}, ${found.right.length} of ${all} right`,
        "--top": `${at * LINE}px`,
        onclick: () => this.choose(at),
      },
      el("span", { class: "id" }, foreign(collection.ids[place])),
      strip(collection, place),
      el("span", { class: "about" }, WORDS[collection.gold[place]], facts.map((fact) => [" \u00b7 ", foreign(fact)])),
      el("span", { class: "about" }, `${found.right.length}/${all} right`)
    );
  }

  // Selects a line, scrolls it into view and opens the judgment.
  choose(at) {
    if (!this.places.length) return;
    this.active = Math.max(0, Math.min(this.places.length - 1, at));
    const top = this.active * LINE;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + LINE > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + LINE - this.box.clientHeight;
    this.draw(true);
    this.open(this.which, this.places[this.active]);
  }

  // Shows a linked judgment; clears the filters if they hide it.
  point(which, place) {
    if (which !== this.which || !this.places.includes(place)) {
      this.search.value = "";
      this.set({ which, words: "", gold: 0, compared: 0 });
    }
    this.choose(this.places.indexOf(place));
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / LINE) - 1);
    const to = { ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + page, PageUp: this.active - page, Home: 0, End: this.places.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.choose(to);
  }
}

function by(places, value) {
  return places.sort((one, other) => value(one) - value(other) || one - other);
}

// The name of a cell among the cells of the report.
function cellName(number, corpus = SEVERAL.corpora) {
  const cell = DATA.cells[number];
  return [cell.label, SEVERAL.backbones && cell.backbone, corpus && cell.corpus, RUNS[number] && `run ${RUNS[number]}`].filter(Boolean).join(", ");
}

// The cell that a cell is compared with; itself where there is none.
function referenceOf(number) {
  const group = DATA.groups.find((one) => one.rows.includes(number));
  return group.pairs[number]?.reference ?? number;
}
