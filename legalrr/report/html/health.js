// Invalid and shortened answers, hidden text, cost, and provenance.

function healthSection() {
  const order = unique([...DATA.groups.flatMap((group) => group.rows), ...DATA.cells.keys()]);
  const rows = order.filter((number) => DATA.health[number]).map((number) => ({ ...DATA.health[number], number, cell: DATA.cells[number] }));
  if (!rows.length) return [el("p", { class: "note" }, "No cell has answers yet.")];
  const share = (read) => (row) => read(row) / row.n;
  const priced = rows.some((row) => row.money !== null && row.money !== undefined);
  const name = { head: "Arm", left: true, value: (row) => cellName(row.number), cell: (row) => foreign(cellName(row.number)) };
  const reason = (why) => ({ head: why, about: `Invalid answers: ${READ[why]}`, value: (row) => row.invalid[why] || 0, cell: (row) => mark(row.invalid[why] || 0) });
  const trouble = [
    name,
    { head: "Invalid %", value: share((row) => sum(Object.values(row.invalid))), cell: (row) => percent(sum(Object.values(row.invalid)) / row.n) },
    ...["unparsed", "budget", "overflow", "error"].map(reason),
    { head: "Cut off", about: "Judgments with a turn that was cut off", value: (row) => row.cut_off, cell: (row) => mark(row.cut_off) },
    { head: "Skipped", about: "Judgments not sent to the model, as they exceed the budget", value: (row) => row.skipped, cell: (row) => mark(row.skipped) },
    { head: "Shortened", about: "Judgments that were shortened to the budget", value: (row) => row.shortened, cell: (row) => mark(row.shortened) },
    { head: "Dropped tokens", value: (row) => row.dropped_tokens, cell: (row) => mark(row.dropped_tokens) },
    { head: "Unlabelled", about: "Judgments without a known outcome; they are in no score", value: (row) => row.unlabelled, cell: (row) => mark(row.unlabelled) },
  ];
  const called = rows.filter((row) => row.prompt_tokens);
  const cost = [
    name,
    { head: "Tokens read", value: (row) => row.prompt_tokens, cell: (row) => count(row.prompt_tokens) },
    { head: "Cached %", about: "Of the tokens read, the share served from a cache", value: (row) => row.cached_tokens / row.prompt_tokens, cell: (row) => percent(row.cached_tokens / row.prompt_tokens) },
    { head: "Tokens written", value: (row) => row.new_tokens, cell: (row) => count(row.new_tokens) },
    { head: "Calls", about: "Made for this cell / found in the store", value: (row) => row.made ?? null, cell: (row) => `${count(row.made)} / ${count(row.stored)}` },
    { head: "Model seconds", about: "Time of the model for the answers of this arm, including those made before the cells or in an earlier run", value: (row) => row.model_seconds ?? null, cell: (row) => fixed(row.model_seconds, 1) },
    { head: "Seconds", about: "Wall time of the cell, all stages, without the calls that were made before the cells", value: (row) => sum(Object.values(row.seconds)), cell: (row) => fixed(sum(Object.values(row.seconds)), 1) },
    { head: "Predicting", about: "Of this, the stage that calls the model", value: (row) => row.seconds.predict ?? null, cell: (row) => fixed(row.seconds.predict, 1) },
    priced && { head: "Money", about: "Cost of all answers, including those from the store, in the currency of the price list", value: (row) => row.money ?? null, cell: (row) => fixed(row.money, 2) },
  ].filter(Boolean);
  return [
    sortable("Trouble", trouble, rows, { caption: "hidden" }),
    leakage(),
    hidden(rows),
    called.length > 0 && [el("h3", {}, "Cost"), el("p", { class: "lead" }, "Tokens and model seconds of all answers of an arm, from whichever run. An answer that several arms share counts in each, so the columns do not add up to the cost of the sweep."), sortable("Cost", cost, called, { caption: "hidden" })],
  ];
}

function mark(value) {
  return value ? el("b", {}, count(value)) : el("span", { class: "about" }, "0");
}

// Scores of a bag-of-words classifier on shown and on hidden text.
function leakage() {
  const probes = DATA.groups.map((group) => groupRows(group).filter((row) => row.cell.family === "probe"));
  const seen = new Set();
  const rows = probes.flat().filter((row) => !seen.has(row.number) && seen.add(row.number));
  const about = "A bag-of-words classifier, cross-validated, on the shown text, on its end, and on the hidden text. A sound run scores far higher on hidden text than on shown text; a score on shown text far above chance means that the outcome leaks.";
  if (!rows.length) return [el("h3", {}, "Leakage probe"), el("p", { class: "note" }, "No probe is among these cells; legalrr experiment=leakage runs them. ", about)];
  const columns = [
    { head: "Probe", left: true, value: (row) => row.cell.label, cell: (row) => foreign(row.cell.label) },
    SEVERAL.corpora && { head: "Corpus", left: true, value: (row) => row.cell.corpus, cell: (row) => foreign(row.cell.corpus) },
    { head: "Macro-F1", about: "With its interval", value: (row) => row.scores.macro_f1, cell: (row) => valued(row.scores.macro_f1, row.scores.interval) },
    { head: "A coin", about: "Macro-F1 of answering by the toss of a coin", value: (row) => row.group.chance, cell: (row) => fixed(row.group.chance) },
  ].filter(Boolean);
  return [el("h3", {}, "Leakage probe"), el("p", { class: "lead" }, about), sortable("Leakage probe", columns, rows, { caption: "hidden" }), unique(DATA.groups.map((group) => group.leakage).filter(Boolean)).map((answer) => el("p", {}, answer))];
}

// Cells that hide the same text share a line.
function hidden(rows) {
  const lines = new Map();
  for (const row of rows) {
    const key = JSON.stringify([row.cell.corpus, row.cell.segment, row.hidden, row.hidden_share]);
    if (lines.has(key)) lines.get(key).cells += 1;
    else lines.set(key, { ...row, cells: 1 });
  }
  const number = (why) => ({ head: why, about: WHY[why], value: (row) => row.hidden[why] || 0, cell: (row) => mark(row.hidden[why] || 0) });
  const columns = [
    { head: "Corpus", left: true, value: (row) => row.cell.corpus, cell: (row) => foreign(`${row.cell.corpus}, roles: ${row.cell.segment}`) },
    { head: "Cells", value: (row) => row.cells, cell: (row) => count(row.cells) },
    { head: "Hidden %", about: "Of the characters of the judgments", value: (row) => row.hidden_share, cell: (row) => percent(row.hidden_share) },
    ...Object.keys(WHY).map(number),
  ];
  return [el("h3", {}, "What was hidden"), el("p", { class: "lead" }, "Parts of the judgments hidden from every arm, by reason."), sortable("What was hidden", columns, [...lines.values()], { caption: "hidden" })];
}

function provenanceSection() {
  const { folders, versions, cells, corpora, study } = DATA.provenance;
  const seeds = unique(cells.map((cell) => cell.seed).filter((seed) => seed !== null));
  const stages = unique(cells.flatMap((cell) => Object.keys(cell.identities)));
  const rows = cells.map((cell, number) => ({ ...cell, number })).filter((cell) => Object.keys(cell.identities).length);
  const columns = [
    { head: "Cell", left: true, value: (row) => DATA.cells[row.number].name, cell: (row) => [DATA.cells[row.number].name, el("small", {}, foreign(cellName(row.number)))] },
    ...stages.map((stage) => ({ head: stage, about: `Identity of the stage ${stage}: digest of its class, version and options`, value: (row) => row.identities[stage] || null, cell: (row) => el("code", { title: row.identities[stage] }, (row.identities[stage] || "\u2013").slice(0, 10)) })),
    { head: "judgments", about: "SHA-256 of the judgments\u2019 file", value: (row) => row.judgments, cell: (row) => el("code", { title: row.judgments }, (row.judgments || "\u2013").slice(0, 10)) },
  ];
  const packages = unique(versions.flatMap((one) => Object.keys(one.versions)));
  return [
    el("h3", {}, "Commands"),
    el("ul", {}, folders.map((folder) => el("li", {}, foreign(folder.name), ": ", el("code", {}, foreign(folder.command || "not recorded"))))),
    el("p", {}, `Seeds: ${seeds.join(", ") || "not recorded"}.`),
    el("h3", {}, "Corpora"),
    el("dl", { class: "corpora" }, corpora.map((one) => [el("dt", {}, foreign(one.name)), el("dd", {}, one.what && [foreign(one.what), ". "], "Licence: ", foreign(one.licence), one.citation && [". Cite: ", foreign(one.citation)])])),
    el("p", {}, "The experiment: ", study, "."),
    el("h3", {}, "Versions"),
    plain("Versions", ["Package", ...versions.map((one) => (versions.length > 1 ? plural(one.cells.length, "cell") : "Version"))], packages.map((name) => [name, ...versions.map((one) => one.versions[name] || "\u2013")])),
    rows.length > 0 && el("details", { class: "numbers" }, el("summary", {}, "Identities of the stages, cell by cell"), sortable("Identities", columns, rows, { caption: "hidden" })),
  ];
}
