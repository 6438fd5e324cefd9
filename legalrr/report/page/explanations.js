// What the model wrote before it answered, against the court's own text of the same role: a pair of tables per turn.

function explanationsSection() {
  const found = DATA.explanations;
  const box = el("div");
  const show = (number) => replace(box, explanationsOf(found[number]));
  show(0);
  return [
    el(
      "p",
      { class: "lead" },
      "What the model wrote in a turn, against the court\u2019s own text of the same role: means over judgments, with BCa bootstrap intervals over them. Scores of overlap rise and fall with both lengths, so these stand beside them. A difference is taken to the reference arm, on the judgments that both explain; its p comes from flipping the signs of the judgments\u2019 differences at random, and is adjusted after Holm over the arms, for each score by itself."
    ),
    found.length > 1 && el("div", { class: "tools" }, picker("Of", found.map((one) => groupName(DATA.groups[one.group])), 0, show)),
    box,
  ];
}

function explanationsOf({ group: number, turns }) {
  const group = DATA.groups[number];
  const measures = turns.flatMap((turn) => turn.measures);
  const details = unique(measures.map((one) => one.detail));
  const sources = unique(turns.flatMap((turn) => turn.rows.flatMap((row) => Object.keys(row.sources)))).sort();
  const measured = details.map((detail) => [unique(measures.filter((one) => one.detail === detail).map((one) => one.heading)).join(", "), detail]);
  return [
    el(
      "ul",
      { class: "note" },
      measured.map(([names, detail]) => el("li", {}, names, ": ", foreign(detail))),
      el("li", {}, "the court\u2019s text: ", sources.length ? foreign(`${sources.join(" or ")} roles`) : "none found")
    ),
    turns.map((turn) => turnTables(group, turn)),
  ];
}

function turnTables(group, turn) {
  const rows = turn.rows.map((row) => ({ ...row, group, number: row.cell, cell: DATA.cells[row.cell] }));
  const compared = rows.filter((row) => row.pairs.some(Boolean));
  const options = { row: (row) => ({ class: kindOf(row) }), caption: "hidden" };
  return [
    el("h3", {}, `Turn: ${turn.turn}`, DATA.explanations.length > 1 && [", ", foreign(groupName(group))]),
    sortable(`Scores of the turn ${turn.turn}`, explanationColumns(turn, rows), rows, options),
    compared.length > 0 && [
      el("h4", {}, "Differences to the reference arm"),
      sortable(`Differences of the turn ${turn.turn} to the reference arm`, explanationPairColumns(turn, compared), compared, options),
      el("p", { class: "key" }, "Filled: significant after Holm\u2019s correction. p: adjusted after Holm."),
    ],
  ];
}

const EXPLAINED = [
  { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
  { head: "Words", about: "Mean number of words that the model wrote", value: (row) => row.words, cell: (row) => fixed(row.words, 0) },
  { head: "Words of the court", about: "Mean number of words of the court\u2019s text", value: (row) => row.court_words, cell: (row) => fixed(row.court_words, 0) },
];
const UNCOMPARED = [
  ["no_turn", "No turn", "Judgments that have the court\u2019s text and not the turn, which was not asked for after an overflow"],
  ["no_text", "No text", "Judgments without the court\u2019s text of that role"],
  ["unscored", "Not scored", "Judgments to compare that a score of this table is not computed for yet"],
  ["cut_off", "Cut off", "Turns that were cut off, of those compared"],
];

function explanationColumns(turn, rows) {
  const scores = turn.measures.map(({ heading, detail }, at) => {
    const range = tenths(rows.flatMap(({ means }) => (means[at] ? [means[at].mean, ...(means[at].interval || [])] : [])));
    return {
      head: heading,
      about: `${detail}; drawn from ${fixed(range[0], 1)} to ${fixed(range[1], 1)}`,
      value: ({ means }) => means[at]?.mean ?? null,
      cell: (row) => {
        const mean = row.means[at];
        return mean ? beside(spark(mean.mean, mean.interval, range, kindOf(row)), fixed(mean.mean), el("small", { title: mean.interval_note }, bounds(mean.interval))) : "\u2013";
      },
    };
  });
  const lost = UNCOMPARED.filter(([name]) => rows.some((row) => row[name])).map(([name, head, about]) => ({ head, about, value: (row) => row[name], cell: (row) => mark(row[name]) }));
  return [...EXPLAINED, ...scores, { head: "n", about: "Judgments whose turn is compared with the court\u2019s text", value: (row) => row.n, cell: (row) => count(row.n) }, ...lost];
}

function explanationPairColumns(turn, rows) {
  const differences = turn.measures.map(({ heading, detail }, at) => {
    const span = spanOf(rows.map((row) => row.pairs[at]));
    return {
      head: heading,
      about: `${detail}; less that of the reference arm, drawn from \u2212${fixed(span, 2)} to +${fixed(span, 2)}`,
      value: ({ pairs }) => pairs[at]?.difference ?? null,
      cell: (row) => differenceCell(row, row.pairs[at], span, el("small", {}, "p ", holmText(row.pairs[at]))),
    };
  });
  return [...EXPLAINED, ...differences];
}
