// Errors by class, calibration, and scores by part of the judgments.

const BY = { length: "length (characters)", year: "year", court: "court", kind: "kind of matter", confidence: "confidence of the label", roles: "roles shown" };

function errorsSection() {
  if (!DATA.groups.length) return [el("p", { class: "note" }, "No cell has scores yet.")];
  return [
    el("p", { class: "lead" }, "Answers of each arm by true outcome, and how often it answers YES: most differences between arms are differences of that rate."),
    choice("Of", DATA.groups.map(groupName), (number) => confusionOf(DATA.groups[number])),
    calibrationPart(),
    breakdownPart(),
  ];
}

function confusionOf(group) {
  const outcome = (name) => ({
    head: `Gold ${name}`,
    about: "Answered allowed / dismissed / invalid; sorted by recall",
    value: (row) => row.scores.recall[name],
    cell: (row) => ["allowed", "dismissed", "invalid"].map((said) => row.scores.confusion[name][said]).join(" / "),
  });
  const columns = [
    { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
    outcome("allowed"),
    outcome("dismissed"),
    { head: "Yes %", about: "Share answered allowed", value: (row) => row.scores.yes_rate, cell: (row) => percent(row.scores.yes_rate) },
    { head: "Invalid", about: "By reason", left: true, value: (row) => row.scores.invalid_rate, cell: (row) => Object.entries(row.scores.invalid).map(([why, n]) => `${n} ${why}`).join(", ") || "\u2013" },
  ];
  return [
    sortable("Confusion and YES rate", columns, groupRows(group), { caption: "hidden" }),
    el("p", { class: "key" }, `Counts: answered allowed / dismissed / invalid. Of the true outcomes ${percent(group.allowed / group.n)} % are allowed.`),
  ];
}

function calibrationPart() {
  const known = unique(DATA.groups.flatMap((group) => group.rows)).filter((cell) => DATA.calibration[cell]).map((cell) => ({ cell, found: DATA.calibration[cell] }));
  const columns = [
    { head: "Arm", left: true, value: ({ cell }) => cellName(cell), cell: ({ cell }) => foreign(cellName(cell)) },
    { head: "n", about: "Judgments with a probability", value: ({ found }) => found.n, cell: ({ found }) => count(found.n) },
    { head: "Brier", about: "Mean squared error of the probability; 0 is best", value: ({ found }) => found.brier, cell: ({ found }) => fixed(found.brier) },
    { head: "Always the base rate", about: "Brier score of saying the share of allowed every time: what has to be beaten", value: ({ found }) => found.brier_of_share, cell: ({ found }) => fixed(found.brier_of_share) },
    { head: "ECE", about: "Expected calibration error in bins of equal width; 0 is best", value: ({ found }) => found.ece, cell: ({ found }) => fixed(found.ece) },
  ];
  return [
    el("h3", {}, "Calibration"),
    known.length ? el("p", { class: "lead" }, "Of the arms whose answers are compared by probability: when the arm gives a judgment a probability p of being allowed, how often is it? A calibrated arm has a share allowed near its mean p in every bin.") : el("p", { class: "note" }, "No arm of these cells gives probabilities; direct (compared) does."),
    known.length > 0 && sortable("Calibration", columns, known, { caption: "hidden" }),
    el("div", { class: "grid" }, known.filter(({ cell }) => DATA.cells[cell].family === "arm").map(({ cell, found }) => reliability(cell, found))),
  ];
}

function reliability(cell, found) {
  const lines = found.bins.map((bin) => [`${fixed(bin.low, 2)} to ${fixed(bin.high, 2)}`, count(bin.n), fixed(bin.mean_p), fixed(bin.share_allowed), bounds(bin.interval)]);
  const name = `Reliability of ${cellName(cell)}`;
  return el("div", {}, el("h4", {}, foreign(name)), plain(name, ["p", "n", "Mean p", "Share allowed", "Interval"], lines));
}

function breakdownPart() {
  const properties = Object.keys(DATA.breakdowns);
  if (!properties.length) return null;
  const cells = unique(DATA.groups.flatMap((group) => group.rows)).filter((number) => properties.some((by) => DATA.breakdowns[by][number]));
  const state = { by: 0, cell: Math.max(0, cells.findIndex((number) => DATA.cells[number].reference)) };
  const box = el("div");
  const show = (changes) => {
    Object.assign(state, changes);
    replace(box, partsOf(properties[state.by], cells[state.cell]));
  };
  show({});
  return [
    el("h3", {}, "By part of the judgments"),
    el("p", { class: "lead" }, "Scores of one arm by properties of the judgments. With this many parts, some stand out by chance alone."),
    el("div", { class: "tools" }, picker("By", properties.map((by) => BY[by] || by), 0, (by) => show({ by })), picker("Arm", cells.map((number) => cellName(number)), state.cell, (cell) => show({ cell }))),
    box,
  ];
}

function partsOf(by, cell) {
  const parts = DATA.breakdowns[by][cell] || [];
  const overall = DATA.groups.find((group) => group.rows.includes(cell)).scores[cell].accuracy;
  const columns = [
    { head: BY[by] || by, left: true, value: (part) => part.name, cell: (part) => foreign(by === "roles" ? part.name.replace(/[A-Z_]{2,}/, headingOf) : part.name) },
    { head: "n", value: (part) => part.n, cell: (part) => count(part.n) },
    { head: "Accuracy", about: `With its interval; over all judgments ${fixed(overall)}`, value: (part) => part.accuracy, cell: (part) => valued(part.accuracy, part.accuracy_interval) },
    { head: "Macro-F1", value: (part) => part.macro_f1, cell: (part) => valued(part.macro_f1, part.interval) },
    { head: "Yes %", about: "Share answered allowed", value: (part) => part.yes_rate, cell: (part) => percent(part.yes_rate) },
    { head: "Gold yes %", about: "Share whose outcome is allowed", value: (part) => part.gold_rate, cell: (part) => percent(part.gold_rate) },
    { head: "Invalid %", value: (part) => part.invalid_rate, cell: (part) => percent(part.invalid_rate) },
  ];
  return parts.length ? [sortable(`Accuracy by ${BY[by] || by}`, columns, parts, { caption: "hidden" }), el("p", { class: "key" }, `Accuracy over all judgments: ${fixed(overall)}.`)] : el("p", { class: "note" }, "Nothing is known of this for these judgments.");
}
