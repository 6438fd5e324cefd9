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
  const scored = DATA.cells.filter((cell) => cell.scored);
  const backbones = unique(scored.map((cell) => cell.backbone).filter(Boolean));
  const arms = unique(scored.filter((cell) => cell.family === "arm").map((cell) => cell.arm));
  const others = unique(scored.filter((cell) => cell.family !== "arm").map((cell) => cell.arm));
  const failed = DATA.cells.filter((cell) => cell.status !== "done");
  const tokens = sum(DATA.health.map((one) => one && one.prompt_tokens + one.new_tokens));
  const judgments = DATA.collections.map((one) => {
    const allowed = [...one.gold].filter((letter) => letter === "A").length;
    return [one.ids.length, `${one.name}: ${allowed} allowed, ${one.ids.length - allowed} dismissed`];
  });
  const facts = [
    [count(sum(judgments.map((one) => one[0]))), "judgments", judgments.map((one) => one[1]).join("; ")],
    [count(arms.length), arms.length === 1 ? "arm" : "arms", others.length ? `and ${others.length} baselines and probes` : "of the experiment"],
    [count(backbones.length), backbones.length === 1 ? "backbone" : "backbones", backbones.join(", ")],
    [count(DATA.cells.length), "cells", failed.length ? `${failed.length} without scores` : "all with scores"],
    [tokens >= 1e6 ? `${(tokens / 1e6).toFixed(1)} M` : count(tokens), "tokens", "read and written"],
  ];
  const findings = DATA.groups.filter((group) => group.finding);
  return [
    el("dl", { class: "facts" }, facts.map(([value, what, about]) => el("div", {}, el("dt", {}, el("b", {}, value), " ", what), el("dd", { class: "about" }, foreign(about))))),
    el("ul", { class: "findings" }, findings.slice(0, 6).map((group) => el("li", {}, el("b", {}, foreign(groupName(group))), ": ", best(group), " ", group.finding))),
    findings.length > 6 && el("p", { class: "note" }, `and ${findings.length - 6} more groups; see the results.`),
  ];
}

function best(group) {
  const arms = groupRows(group).filter((row) => row.cell.family === "arm" && row.scores.macro_f1 !== null);
  if (!arms.length) return "";
  const top = arms.reduce((one, other) => (other.scores.macro_f1 > one.scores.macro_f1 ? other : one));
  const level = `${Math.round(100 * group.confidence)} % interval`;
  return [`highest macro-F1 ${fixed(top.scores.macro_f1)} (`, foreign(top.cell.label), `; ${level} ${bounds(top.scores.interval)}; a coin ${fixed(group.chance)}, the larger class ${fixed(group.majority)}).`];
}

// How far differences to the reference arm are drawn to either side.
function spanOf(pairs) {
  return Math.min(1, Math.max(0.05, ...pairs.flatMap((pair) => (pair && pair.interval ? pair.interval.map(Math.abs) : []))));
}

// A difference to the reference arm in a cell of a table: filled where it is significant.
function differenceCell(row, pair, span, under = null) {
  if (!pair) return "\u2013";
  if (pair.difference === undefined) return el("small", {}, pair.note);
  const kind = `${kindOf(row)} ${isReal(pair) ? "real" : "open"}`;
  return beside(spark(pair.difference, pair.interval, [-span, span], kind, 0), signed(pair.difference), el("small", {}, bounds(pair.interval, signed)), under);
}

function holmText(pair) {
  return pair ? el(isReal(pair) ? "strong" : "span", {}, pvalue(pair.p_holm)) : "\u2013";
}

function differenceColumns(rows) {
  const span = spanOf(rows.map((row) => row.pair));
  return [
    {
      head: "Difference",
      about: `Macro-F1 less that of the reference arm on the same judgments; drawn from \u2212${fixed(span, 2)} to +${fixed(span, 2)}`,
      value: (row) => row.pair?.difference ?? null,
      cell: (row) => differenceCell(row, row.pair, span),
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
  const range = reachOf(rows);
  const number = (head, about, read, show = fixed) => ({ head, about, value: read, cell: (row) => show(read(row)) });
  return [
    { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
    SEVERAL.corpora && { head: "Corpus", left: true, value: (row) => row.group.corpus, cell: (row) => foreign(row.group.corpus) },
    SEVERAL.backbones && { head: "Backbone", left: true, value: (row) => row.group.backbone || "", cell: (row) => foreign(row.group.backbone || "\u2013") },
    DATA.repeats.length > 0 && number("Run", "Which of several runs of one experiment", (row) => row.group.run, count),
    unique(rows.map((row) => row.scores.n)).length > 1 && number("n", "Judgments scored", (row) => row.scores.n, count),
    {
      head: "Macro-F1",
      about: `Mean of F1 over the two outcomes; drawn with its interval from ${fixed(range[0], 1)} to ${fixed(range[1], 1)}, the rule is a coin\u2019s`,
      value: (row) => row.scores.macro_f1,
      cell: (row) => beside(spark(row.scores.macro_f1, row.scores.interval, range, kindOf(row), row.group.chance), fixed(row.scores.macro_f1), el("small", {}, bounds(row.scores.interval))),
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
      cell: (row) => [signed(row.scores.mcc), el("small", {}, " ", bounds(row.scores.mcc_interval, signed))],
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
      `An answer that cannot be read as YES or NO is invalid: ${DATA.invalid}. Intervals are BCa bootstrap intervals over judgments (exact where no resample changes the score), of differences jackknife intervals. The permutation test rules: an interval of a difference that would leave out 0 beside p > 0.05 is extended to 0. A filled difference is significant after Holm\u2019s correction, and stays so with the invalid answers against the better arm. Whether an arm has skill is told by p skill, not by its distance from the larger class. Press a column\u2019s head to sort by it.`
    ),
    choice,
    table,
    el("details", { class: "numbers" }, el("summary", {}, "How these cells were run"), DATA.groups.map((group) => [el("h4", {}, foreign(group.title)), el("ul", {}, group.treatment.map((line) => el("li", {}, foreign(line))))])),
    missing(),
  ];
}

function missing() {
  const gone = DATA.cells.filter((cell) => cell.status !== "done" || !cell.scored);
  if (!gone.length) return null;
  const lines = gone.map((cell) => [cell.name, cell.label, cell.status, cell.problem]);
  return [el("h3", {}, "Cells without scores"), plain("Cells without scores", ["Cell", "Arm", "Status", "Why"], lines)];
}
