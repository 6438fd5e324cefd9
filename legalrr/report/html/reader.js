// One judgment: the answers of all arms, shown and hidden text, and every turn as sent and answered.

const WHY = {
  role: "its role reveals the outcome",
  verdict: "reads like the verdict",
  closing: "the law reporter\u2019s closing line",
  uncovered: "an end that no role covers",
  repeat: "repeats what is hidden",
};
const READ = {
  matched: "read from the answer",
  unparsed: "no answer could be read",
  budget: "the answer was cut off",
  overflow: "the prompt did not fit the context",
  error: "the engine failed",
};

class Reader {
  constructor() {
    this.node = el("article", { class: "reader", "aria-label": "Judgment" });
    this.inPlace = true;
    this.request = 0;
    replace(this.node, el("p", { class: "note" }, "Choose a judgment to read what every arm was shown and what it answered."));
  }

  // `linked`: put the judgment into the address.
  async open(which, place, cell, linked = true) {
    const request = ++this.request;
    const collection = DATA.collections[which];
    const known = cellsOf(collection).filter((number) => collection.answers[number][place] !== " ");
    this.cell = known.includes(cell) ? cell : known.includes(this.cell) ? this.cell : (known.find((number) => DATA.cells[number].reference) ?? known[0]);
    [this.which, this.place, this.known] = [which, place, known];
    if (linked) history.replaceState(null, "", link(which, place, this.cell));
    this.node.classList.toggle("unlinked", !linked);
    let record = null;
    let problem = "";
    try {
      [record, this.shared] = await Promise.all([block(which, place), sharedPhrases()]);
    } catch (error) {
      problem = `The texts cannot be read: ${error.message}.`;
    }
    // The user may have opened another judgment meanwhile.
    if (request === this.request) this.show(record, problem);
  }

  step(by) {
    if (this.known) this.open(this.which, this.place, this.known[(this.known.indexOf(this.cell) + by + this.known.length) % this.known.length]);
  }

  show(record, problem) {
    const collection = DATA.collections[this.which];
    const answer = record && record.answers[this.cell];
    replace(this.node, this.head(collection), this.choices(collection), this.said(collection, answer), record ? [this.document(record, answer), conversation(record, answer, this.shared)] : el("p", { class: "note" }, problem || this.lacking(collection)));
    this.node.dataset.ready = `${collection.ids[this.place]} ${this.cell}`;
  }

  lacking(collection) {
    const held = DATA.texts[this.which];
    return `This page holds the texts of ${count(held)} of ${count(collection.ids.length)} judgments, and not of this one. ${OTHERS}`;
  }

  head(collection) {
    const facts = ["court", "year", "kind", "petitioner", "confidence"].map((name) => [name, collection.facts[name]?.[this.place]]);
    const words = collection.length[this.place];
    const metadata = [["outcome", WORDS[collection.gold[this.place]]], ...facts, ["characters", words && count(words)]].filter(([, value]) => value !== null && value !== undefined);
    const address = link(this.which, this.place, this.cell);
    return el("header", {}, el("h3", {}, el("a", { href: address, title: "Link to this judgment and arm" }, foreign(collection.ids[this.place]))), el("dl", { class: "metadata" }, metadata.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, foreign(value))))));
  }

  // A button per cell, a line per group.
  choices(collection) {
    const done = new Set();
    const lines = DATA.groups.map((group) => {
      const cells = group.rows.filter((number) => this.known.includes(number) && !done.has(number));
      cells.forEach((number) => done.add(number));
      const buttons = cells.map((number) => {
        const said = collection.answers[number][this.place];
        const state = said === "-" ? "invalid" : said === collection.gold[this.place] ? "right" : "wrong";
        const words = `${WORDS[said]}${said === "-" ? "" : `, ${state}`}`;
        return el("button", { type: "button", class: `choice ${state}`, "aria-pressed": String(number === this.cell), title: words, onclick: () => this.open(this.which, this.place, number) }, foreign(DATA.cells[number].label), el("span", { class: "said" }, said === "-" ? "?" : said === "A" ? "yes" : "no"), el("span", { class: "unseen" }, words));
      });
      return cells.length > 0 && el("div", { class: "choices" }, (SEVERAL.backbones || DATA.groups.length > 1) && el("span", { class: "about" }, foreign(groupName(group))), buttons);
    });
    return el("div", { role: "group", "aria-label": "Arms" }, lines);
  }

  said(collection, answer) {
    const cell = DATA.cells[this.cell];
    const said = collection.answers[this.cell][this.place];
    const gold = collection.gold[this.place];
    const state = said === "-" ? "invalid" : said === gold ? "right" : "wrong";
    const p = answer && answer.p !== null ? `; probability of allowed ${fixed(answer.p)}` : "";
    const why = answer ? ` (${READ[answer.reason] || answer.reason}${p})` : "";
    return el("p", { class: "said-line" }, el("b", {}, foreign(cell.label), cell.backbone && [" with ", foreign(cell.backbone)]), ": ", el("span", { class: `verdict-word ${state}` }, `${WORDS[said]}${said === "-" ? "" : `, ${state}`}`), why);
  }

  document(record, answer) {
    const shown = record.documents[answer.document];
    if (shown.skipped) return el("p", { class: "note" }, "This judgment was longer than the budget and was not sent to the model (overflow: skip).");
    const pieces = this.inPlace ? wholePieces(record, shown) : shownPieces(record, shown);
    const roles = unique([...shown.shown.map(([role]) => role), ...shown.hidden.map(([, , role]) => role)]).filter(Boolean);
    const legend = el("p", { class: "legend" }, roles.map((role) => el("span", { class: `role ${safe(role)}` }, headingOf(role))));
    const turn = (inPlace) => el("button", { type: "button", "aria-pressed": String(this.inPlace === inPlace), onclick: () => ((this.inPlace = inPlace), this.show(record, "")) }, inPlace ? "in the judgment" : "as shown");
    const reasons = unique(shown.hidden.map(([, , , reason]) => reason)).map((reason) => `${shown.hidden.filter((one) => one[3] === reason).length} ${WHY[reason] || reason}`);
    return [
      el("h4", {}, "What was shown and hidden"),
      el("div", { class: "tools" }, el("span", { class: "switch", role: "group", "aria-label": "Order" }, turn(true), turn(false)), el("span", { class: "about" }, [`hidden: ${reasons.join("; ") || "nothing"}`, shown.dropped && `${count(shown.dropped)} tokens dropped to fit the budget`].filter(Boolean).join(" \u00b7 "))),
      legend,
      pieces ? coloured(pieces) : offsets(shown),
    ];
  }
}

function safe(role) {
  return /^[A-Z_]+$/.test(role) ? role : "";
}

function headingOf(role) {
  return DATA.headings[role] || role || "no role";
}

function coloured(pieces) {
  let last = null;
  const nodes = pieces.map((piece) => {
    if (piece.state === "space") return piece.text;
    if (piece.state === "left") return el("span", { class: "s left", title: "neither shown nor hidden" }, piece.text);
    const opens = piece.role !== last || piece.state === "hidden";
    last = piece.state === "hidden" ? null : piece.role;
    const heading = piece.state === "hidden" ? `${headingOf(piece.role)}: hidden, ${WHY[piece.reason] || piece.reason}` : headingOf(piece.role);
    const kind = ["s", safe(piece.role), piece.state === "hidden" && "hid", opens && "opens"].filter(Boolean).join(" ");
    return [piece.between || null, el(piece.state === "hidden" ? "del" : "span", { class: kind, "data-heading": opens ? heading : null, title: heading }, piece.text)];
  });
  return el("div", { class: "text", dir: "auto", tabindex: 0, role: "region", "aria-label": "Text of the judgment" }, nodes);
}

function offsets(shown) {
  const lines = shown.hidden.map(([start, end, role, reason]) => [`${start}\u2013${end}`, headingOf(role), WHY[reason] || reason]);
  return [el("p", { class: "note" }, "The run folder is of an earlier version and does not hold the judgment\u2019s text, only where in it something was hidden. Running the cell again adds it; stored calls are not repeated."), lines.length > 0 && plain("What was hidden", ["Characters", "Role", "Why"], lines)];
}

function link(which, place, cell) {
  const collection = DATA.collections[which];
  const params = new URLSearchParams({ case: collection.ids[place], arm: DATA.cells[cell].arm });
  if (DATA.collections.length > 1) params.set("corpus", String(which));
  const alike = cellsOf(collection).filter((number) => DATA.cells[number].arm === DATA.cells[cell].arm);
  if (alike.length > 1) params.set("cell", String(cell));
  return `#${params}`;
}
