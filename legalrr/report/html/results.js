// The first screen and the table of results.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SEVERAL = {
  corpora: unique(DATA.groups.map((group) => group.corpus)).length > 1,
  backbones: unique(DATA.groups.map((group) => group.backbone)).length > 1,
};

// Cell -> which of several runs it is; null where it ran once, and for baselines, which stand in every run.
const RUNS = DATA.cells.map((_, number) => {
  const homes = DATA.groups.filter((group) => group.rows.includes(number));
  return homes.length === 1 ? homes[0].run : null;
});

function groupName(group) {
  const parts = [(SEVERAL.backbones || !SEVERAL.corpora) && (group.backbone || "no backbone"), SEVERAL.corpora && group.corpus, group.apart];
  const alike = DATA.groups.filter((other) => other.backbone === group.backbone && other.corpus === group.corpus);
  const treatments = unique(alike.map((other) => `${other.segment} ${other.treatment[0]}`));
  if (treatments.length > 1) parts.push(unique(alike.map((other) => other.segment)).length > 1 && `roles: ${group.segment}`, group.treatment[0]);
  if (group.run !== null) parts.push(`run ${group.run}`);
  return parts.filter(Boolean).join(", ");
}

// A row per cell of a group: baselines stand in every group, as they are compared with its reference.
function groupRows(group) {
  return group.rows.map((number) => ({ group, number, cell: DATA.cells[number], scores: group.scores[number], pair: group.pairs[number] || null }));
}

function kindOf(row) {
  return row.number === row.group.reference ? "arm reference" : row.cell.family;
}

function armName(row) {
  return [foreign(row.cell.label), row.number === row.group.reference && el("span", { class: "mark" }, "reference")];
}

function isReal(pair) {
  // A difference of predictions also has to stand with the invalid answers against the better arm.
  if (pair !== null && pair.shown !== undefined) return pair.shown;
  return pair !== null && pair.p_holm !== null && pair.p_holm !== undefined && pair.p_holm < 0.05;
}

function summary() {
  const findings = DATA.groups.filter((group) => group.finding || group.leakage);
  return [
    el("dl", { class: "facts" }, DATA.facts.map((one) => el("div", {}, el("dt", {}, el("b", {}, short(one.count)), " ", one.what), el("dd", { class: "about" }, foreign(one.about))))),
    el("ul", { class: "findings" }, findings.slice(0, 6).map((group) => el("li", {}, el("b", {}, foreign(groupName(group))), ": ", best(group), " ", group.finding, " ", group.leakage))),
    findings.length > 6 && el("p", { class: "note" }, `and ${findings.length - 6} more groups; see the results.`),
  ];
}

function short(value) {
  return value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : count(value);
}

function best(group) {
  const arms = groupRows(group).filter((row) => row.cell.family === "arm" && row.scores.macro_f1 !== null);
  if (!arms.length) return "";
  const top = arms.reduce((one, other) => (other.scores.macro_f1 > one.scores.macro_f1 ? other : one));
  const level = `${Math.round(100 * group.confidence)} % interval`;
  return [`highest macro-F1 ${fixed(top.scores.macro_f1)} (`, foreign(top.cell.label), `; ${level} ${bounds(top.scores.interval)}; a coin ${fixed(group.chance)}, the larger class ${fixed(group.majority)}).`];
}

// A difference to the reference arm in a cell of a table: bold where it is significant.
function differenceCell(pair, ...more) {
  if (!pair) return "\u2013";
  if (pair.difference === undefined) return el("small", {}, pair.note);
  return el(isReal(pair) ? "strong" : "span", {}, valued(pair.difference, pair.interval, signed, more));
}

function holmText(pair) {
  return pair ? el(isReal(pair) ? "strong" : "span", {}, pvalue(pair.p_holm)) : "\u2013";
}

function differenceColumns(rows) {
  return [
    {
      head: "Difference",
      about: "Macro-F1 less that of the reference arm on the same judgments; bold where significant",
      value: (row) => row.pair?.difference ?? null,
      cell: (row) => differenceCell(row.pair),
    },
    { head: "p Holm", about: "Permutation p, adjusted over the distinct differences of arms from the reference arm", value: (row) => row.pair?.p_holm ?? null, cell: (row) => holmText(row.pair) },
    rows.some((row) => row.pair?.bounded) && {
      head: "p Holm, bound",
      about: "The same with the invalid answers of the better arm wrong and those of the other right",
      value: (row) => row.pair?.p_holm_bound ?? null,
      cell: (row) => (row.pair && row.pair.p_holm_bound !== undefined ? pvalue(row.pair.p_holm_bound) : "\u2013"),
    },
  ].filter(Boolean);
}

function resultColumns(rows) {
  const number = (head, about, read, show = fixed) => ({ head, about, value: read, cell: (row) => show(read(row)) });
  return [
    { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
    SEVERAL.corpora && { head: "Corpus", left: true, value: (row) => row.group.corpus, cell: (row) => foreign(row.group.corpus) },
    SEVERAL.backbones && { head: "Backbone", left: true, value: (row) => row.group.backbone || "", cell: (row) => foreign(row.group.backbone || "\u2013") },
    DATA.repeats.length > 0 && number("Run", "Which of several runs of one experiment", (row) => row.group.run, count),
    unique(rows.map((row) => row.scores.n)).length > 1 && number("n", "Judgments scored", (row) => row.scores.n, count),
    {
      head: "Macro-F1",
      about: "Mean of F1 over the two outcomes, with its interval",
      value: (row) => row.scores.macro_f1,
      cell: (row) => valued(row.scores.macro_f1, row.scores.interval),
    },
    rows.some((row) => row.scores.invalid_bounds) && {
      head: "Invalid wrong to right",
      about: "Macro-F1 with every invalid answer read as the wrong outcome, and with every one as the right one",
      value: (row) => row.scores.invalid_bounds?.[0] ?? row.scores.macro_f1,
      cell: (row) => (row.scores.invalid_bounds ? row.scores.invalid_bounds.map((score) => fixed(score)).join(" to ") : "\u2013"),
    },
    ...differenceColumns(rows),
    number("F1 allowed", "F1 of the outcome allowed", (row) => row.scores.f1.allowed),
    number("F1 dismissed", "F1 of the outcome dismissed", (row) => row.scores.f1.dismissed),
    number("Accuracy", "Share answered right, of all", (row) => row.scores.accuracy),
    number("FPR", "Gold dismissed, answered allowed, of all gold dismissed", (row) => row.scores.fpr),
    number("FNR", "Gold allowed, not answered allowed, of all gold allowed", (row) => row.scores.fnr),
    {
      head: "MCC",
      about: "Matthews correlation, with invalid as a third answer; 0 without skill",
      value: (row) => row.scores.mcc,
      cell: (row) => valued(row.scores.mcc, row.scores.mcc_interval, signed),
    },
    number("p skill", "Answers permuted against outcomes, not adjusted; none where all answers are the same", (row) => row.scores.p_skill, pvalue),
    number("Yes %", "Share answered allowed, of all", (row) => row.scores.yes_rate, percent),
    number("Invalid %", "Answers that cannot be read as YES or NO", (row) => row.scores.invalid_rate, percent),
  ].filter(Boolean);
}

function resultsSection() {
  const rows = DATA.groups.flatMap(groupRows);
  if (!rows.length) return [el("p", {}, "No cell has scores yet."), missing()];
  const table = sortable("Results of every arm", resultColumns(rows), rows, { row: (row) => ({ class: kindOf(row) }), caption: "hidden" });
  const names = ["all", ...DATA.groups.map(groupName)];
  const choice = DATA.groups.length > 1 && picker("Show", names, 0, (chosen) => table.only((row) => !chosen || row.group === DATA.groups[chosen - 1]));
  return [
    el(
      "p",
      { class: "lead" },
      `An answer that cannot be read as YES or NO is invalid: ${DATA.invalid}. Intervals are BCa bootstrap intervals over judgments (exact where no resample changes the score), of differences jackknife intervals. The permutation test decides: an interval of a difference that would exclude 0 at p > 0.05 is extended to 0. A bold difference is significant after Holm\u2019s correction, and stays so with the invalid answers against the better arm. Whether an arm has skill is shown by p skill, not by its distance from the larger class. Click the head of a column to sort by it.`
    ),
    choice,
    table,
    el("details", { class: "numbers" }, el("summary", {}, "How these cells were run"), DATA.groups.map((group) => [el("h4", {}, foreign(group.title)), el("ul", {}, group.treatment.map((line) => el("li", {}, foreign(line))))])),
    missing(),
  ];
}

function missing() {
  const gone = DATA.cells.filter((cell) => cell.missing);
  if (!gone.length) return null;
  const lines = gone.map((cell) => [cell.name, cell.label, cell.status, cell.problem]);
  return [el("h3", {}, "Cells without scores"), plain("Cells without scores", ["Cell", "Arm", "Status", "Why"], lines)];
}

// Macro-F1 side by side: the figures, and a heat map of arms by backbones.
function comparedSection() {
  const level = unique(DATA.groups.map((group) => `${Math.round(100 * group.confidence)} %`)).join(", ");
  const lines = DATA.groups.map((group) => [groupName(group), count(group.n), fixed(group.chance), fixed(group.majority)]);
  return [
    el("div", { class: "grid" }, drawn("macro-f1"), drawn("differences")),
    drawn("differences") && el("p", { class: "key" }, `Filled: significant after Holm\u2019s correction. Lines: ${level} intervals. The values are in the table of results.`),
    lines.length > 0 && plain("Macro-F1 without skill", ["Arms", "n", "A coin", "The larger class"], lines),
    heatMaps(),
  ];
}

// A map per corpus: arms down, groups across.
function heatMaps() {
  const corpora = unique(DATA.groups.map((group) => group.corpus));
  const groupsOf = (corpus) => DATA.groups.filter((group) => group.corpus === corpus);
  const maps = corpora.filter((corpus) => groupsOf(corpus).length > 1).map((corpus) => heatMap(corpus, groupsOf(corpus)));
  return maps.length > 0 && [el("h3", {}, "Arms by backbones"), maps];
}

function heatMap(corpus, groups) {
  const cells = groups.map((group) => new Map(groupRows(group).map((row) => [row.cell.arm, row])));
  const arms = unique(groups.flatMap((group) => groupRows(group).map((row) => row.cell.arm)));
  const known = cells.flatMap((column) => [...column.values()].map((row) => row.scores.macro_f1)).filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const shade = (value) => (high > low ? (value - low) / (high - low) : 0);
  const columns = [
    { head: "Arm", left: true, value: (arm) => label(arm), cell: (arm) => foreign(label(arm)) },
    ...groups.map((group, number) => ({
      head: group.backbone && !group.apart && group.run === null ? group.backbone : groupName(group),
      value: (arm) => (cells[number].has(arm) ? cells[number].get(arm).scores.macro_f1 : null),
      cell: (arm) => heat(cells[number].get(arm), shade),
      kind: "heat",
    })),
  ];
  function label(arm) {
    return cells.find((column) => column.has(arm)).get(arm).cell.label;
  }
  const title = `Macro-F1 by arm and backbone, ${corpus}`;
  return [
    sortable(title, columns, arms, { caption: SEVERAL.corpora ? "" : "hidden" }),
    el("p", { class: "key" }, `Darker is higher, from ${fixed(low)} to ${fixed(high)}. A star: differs from the reference arm after Holm\u2019s correction.`),
  ];
}

function heat(row, shade) {
  if (!row || row.scores.macro_f1 === null) return "\u2013";
  return el("span", { "--shade": shade(row.scores.macro_f1).toFixed(3), title: bounds(row.scores.interval) }, fixed(row.scores.macro_f1), isReal(row.pair) && el("sup", {}, "\u2217"));
}
