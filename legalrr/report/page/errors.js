// Where answers go wrong: by class, by part of the judgments, and by how sure the arm was.

const BY = { length: "length (characters)", year: "year", court: "court", kind: "kind of matter", confidence: "confidence of the label", roles: "roles shown" };

function errorsSection() {
  if (!DATA.groups.length) return [el("p", { class: "note" }, "No cell has scores yet.")];
  const box = el("div");
  const show = (number) => replace(box, confusionOf(DATA.groups[number]));
  show(0);
  return [
    el("p", { class: "lead" }, "What each arm answered, by the true outcome, and how often it answers YES at all: most shifts between arms are shifts of that rate."),
    DATA.groups.length > 1 && el("div", { class: "tools" }, picker("Of", DATA.groups.map(groupName), 0, show)),
    box,
    calibrationPart(),
    breakdownPart(),
  ];
}

function confusionOf(group) {
  const rows = groupRows(group);
  const gold = group.allowed / group.n;
  const bar = (row, outcome) => {
    const counts = row.scores.confusion[outcome];
    const all = sum(Object.values(counts));
    const kinds = { allowed: "yes", dismissed: "no", invalid: "invalid" };
    return all ? stacked(Object.entries(counts).map(([said, n]) => [n / all, kinds[said], `${n} answered ${said}`])) : "\u2013";
  };
  const told = (row, outcome) => ["allowed", "dismissed", "invalid"].map((said) => row.scores.confusion[outcome][said]).join(" / ");
  const columns = [
    { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
    { head: "Gold allowed", about: "Answered allowed / dismissed / invalid", value: (row) => row.scores.recall.allowed, cell: (row) => [bar(row, "allowed"), el("small", {}, told(row, "allowed"))], kind: "bars" },
    { head: "Gold dismissed", about: "Answered allowed / dismissed / invalid", value: (row) => row.scores.recall.dismissed, cell: (row) => [bar(row, "dismissed"), el("small", {}, told(row, "dismissed"))], kind: "bars" },
    { head: "Yes-rate %", about: `Share answered allowed; the rule is the share that is allowed, ${percent(gold)} %`, value: (row) => row.scores.yes_rate, cell: (row) => beside(spark(row.scores.yes_rate, null, [0, 1], kindOf(row), gold), percent(row.scores.yes_rate)) },
    { head: "Invalid", about: "By reason", left: true, value: (row) => row.scores.invalid_rate, cell: (row) => Object.entries(row.scores.invalid).map(([why, n]) => `${n} ${why}`).join(", ") || "\u2013" },
  ];
  return [
    sortable("Confusion and yes-rate", columns, rows, { caption: "hidden" }),
    el("p", { class: "key" }, ["yes", "no", "invalid"].map((kind) => el("span", { class: `swatch fill-${kind}` }, { yes: "answered allowed", no: "answered dismissed", invalid: "invalid" }[kind])), el("span", {}, `rule in the yes-rate: the share that is allowed, ${percent(gold)} %`)),
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
    known.length ? el("p", { class: "lead" }, "Of the arms whose answers are compared by probability: when the arm gives a judgment a probability p of being allowed, how often is it? On the diagonal it is as often as it says.") : el("p", { class: "note" }, "No arm of these cells gives probabilities; direct (compared) does."),
    known.length > 0 && sortable("Calibration", columns, known, { caption: "hidden" }),
    el("div", { class: "grid" }, known.filter(({ cell }) => DATA.cells[cell].family === "arm").map(({ cell, found }) => reliability(cell, found))),
  ];
}

function reliability(cell, found) {
  const caption = [foreign(cellName(cell)), el("span", { class: "sub" }, `Brier ${fixed(found.brier)}, ECE ${fixed(found.ece)}, n = ${count(found.n)}`)];
  const picture = responsive((wide) => {
    const width = Math.min(wide, 460);
    const [left, bottom] = [56, Math.min(width * 0.72, 320)];
    const x = linear([0, 1], [left, width - 16]);
    const y = linear([0, 1], [bottom, 12]);
    const most = Math.max(...found.bins.map((bin) => bin.n));
    return canvas(
      width,
      bottom + 42,
      `Reliability of ${cellName(cell)}`,
      found.bins.map((bin) => `p ${fixed(bin.mean_p, 2)}: ${fixed(bin.share_allowed, 2)} allowed, ${bin.n} judgments`).join("; "),
      bottomAxis(x, 12, bottom, "probability given to allowed"),
      leftAxis(y, left, width - 16, "share allowed"),
      svg("line", { class: "upright coin", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
      found.bins.map((bin) =>
        svg(
          "g",
          { class: "whisker arm" },
          svg("title", {}, `${bin.n} judgments: p ${fixed(bin.mean_p)}, ${fixed(bin.share_allowed)} allowed ${bounds(bin.interval)}`),
          svg("line", { x1: x(bin.mean_p), x2: x(bin.mean_p), y1: y(bin.interval[0]), y2: y(bin.interval[1]) }),
          svg("circle", { cx: x(bin.mean_p), cy: y(bin.share_allowed), r: 3 + 5 * Math.sqrt(bin.n / most) })
        )
      )
    );
  });
  const lines = found.bins.map((bin) => [`${fixed(bin.low, 2)} to ${fixed(bin.high, 2)}`, count(bin.n), fixed(bin.mean_p), fixed(bin.share_allowed), bounds(bin.interval)]);
  return figure(caption, picture, plain("Bins", ["p", "n", "Mean p", "Share allowed", "Interval"], lines));
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
    el("p", { class: "lead" }, "Accuracy of one arm by what is known of the judgments. Many parts are looked at here, so that one of them stands out by chance alone."),
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
    { head: "Accuracy", about: `With its interval; the rule is the arm\u2019s accuracy over all, ${fixed(overall)}`, value: (part) => part.accuracy, cell: (part) => beside(spark(part.accuracy, part.accuracy_interval, [0, 1], "arm", overall), fixed(part.accuracy), el("small", {}, bounds(part.accuracy_interval))) },
    { head: "Macro-F1", value: (part) => part.macro_f1, cell: (part) => [fixed(part.macro_f1), el("small", {}, bounds(part.interval))] },
    { head: "Yes %", about: "Share answered allowed", value: (part) => part.yes_rate, cell: (part) => percent(part.yes_rate) },
    { head: "Gold yes %", about: "Share whose outcome is allowed", value: (part) => part.gold_rate, cell: (part) => percent(part.gold_rate) },
    { head: "Invalid %", value: (part) => part.invalid_rate, cell: (part) => percent(part.invalid_rate) },
  ];
  return parts.length ? sortable(`Accuracy by ${BY[by] || by}`, columns, parts, { caption: "hidden" }) : el("p", { class: "note" }, "Nothing is known of this for these judgments.");
}
