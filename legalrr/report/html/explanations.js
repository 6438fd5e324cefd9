// What the model wrote before its answer, compared with the court's own text of the same role: a figure and tables per turn.

function explanationsSection() {
  const found = DATA.explanations;
  return [
    el(
      "p",
      { class: "lead" },
      "What the model wrote in a turn, compared with the court\u2019s own text of the same role: means over judgments with BCa bootstrap intervals. Overlap scores depend on both lengths, which the table gives too. A difference is taken to the reference arm, on the judgments that both explain; its p comes from flipping the signs of the judgments\u2019 differences at random, adjusted after Holm over the arms, for each score by itself."
    ),
    choice("Of", found.map((one) => groupName(DATA.groups[one.group])), (number) => explanationsOf(found[number], number)),
  ];
}

function explanationsOf({ group: place, turns }, number) {
  const group = DATA.groups[place];
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
    turns.map((turn, at) => turnTables(group, turn, drawn(`explanations-${number}-${at}`))),
  ];
}

function turnTables(group, turn, picture) {
  const rows = turn.rows.map((row) => ({ ...row, group, number: row.cell, cell: DATA.cells[row.cell] }));
  const compared = rows.filter((row) => row.pairs.some(Boolean));
  const options = { row: (row) => ({ class: kindOf(row) }), caption: "hidden" };
  return [
    el("h3", {}, `Turn: ${turn.turn}`, DATA.explanations.length > 1 && [", ", foreign(groupName(group))]),
    picture,
    sortable(`Scores of the turn ${turn.turn}`, explanationColumns(turn, rows), rows, options),
    compared.length > 0 && [
      el("h4", {}, "Differences to the reference arm"),
      sortable(`Differences of the turn ${turn.turn} to the reference arm`, explanationPairColumns(turn), compared, options),
      el("p", { class: "key" }, "Filled in the figure, and bold: significant after Holm\u2019s correction. p: adjusted after Holm."),
    ],
  ];
}

const EXPLAINED = [
  { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
  { head: "Words", about: "Mean number of words that the model wrote", value: (row) => row.words, cell: (row) => fixed(row.words, 0) },
  { head: "Words of the court", about: "Mean number of words of the court\u2019s text", value: (row) => row.court_words, cell: (row) => fixed(row.court_words, 0) },
];
const UNCOMPARED = [
  ["no_turn", "No turn", "Judgments that have the court\u2019s text and not the turn, which was not requested after an overflow"],
  ["no_text", "No text", "Judgments without the court\u2019s text of that role"],
  ["unscored", "Not scored", "Judgments to compare that a score of this table is not computed for yet"],
  ["cut_off", "Cut off", "Turns that were cut off, of those compared"],
];

function explanationColumns(turn, rows) {
  const scores = turn.measures.map(({ heading, detail }, at) => ({
    head: heading,
    about: detail,
    value: ({ means }) => means[at]?.mean ?? null,
    cell: ({ means }) => (means[at] ? el("span", { title: means[at].interval_note }, valued(means[at].mean, means[at].interval)) : "\u2013"),
  }));
  const lost = UNCOMPARED.filter(([name]) => rows.some((row) => row[name])).map(([name, head, about]) => ({ head, about, value: (row) => row[name], cell: (row) => mark(row[name]) }));
  return [...EXPLAINED, ...scores, { head: "n", about: "Judgments whose turn is compared with the court\u2019s text", value: (row) => row.n, cell: (row) => count(row.n) }, ...lost];
}

function explanationPairColumns(turn) {
  const differences = turn.measures.map(({ heading, detail }, at) => ({
    head: heading,
    about: `${detail}; minus that of the reference arm`,
    value: ({ pairs }) => pairs[at]?.difference ?? null,
    cell: ({ pairs }) => differenceCell(pairs[at], el("small", {}, "p ", holmText(pairs[at]))),
  }));
  return [...EXPLAINED, ...differences];
}
