// Runs of one experiment as one row: the spread between runs beside the interval over judgments.

function repeatsSection() {
  return [
    el(
      "p",
      { class: "lead" },
      "These experiments ran more than once, with answers sampled again. The interval of the mean is over judgments, with all runs of a judgment resampled together; more runs do not narrow it. The standard deviation (SD) is between runs: how far a single run can be off. The test of a difference swaps all answers of two arms to a judgment at once."
    ),
    DATA.repeats.map(repeatsOf),
  ];
}

function repeatsOf(found) {
  const group = DATA.groups[found.groups[0]];
  const rows = found.rows.map((row) => ({ ...row, group, number: row.reference ? group.reference : row.cells[0], cell: DATA.cells[row.cells[0]] }));
  const title = `${groupName({ ...group, run: null })}, ${found.groups.length} runs`;
  return [el("h3", {}, foreign(title)), sortable(title, repeatColumns(rows), rows, { row: (row) => ({ class: kindOf(row) }), caption: "hidden" })];
}

function repeatColumns(rows) {
  return [
    { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
    { head: "Runs", value: (row) => row.cells.length, cell: (row) => count(row.cells.length) },
    { head: "n", about: "Judgments, the same in all runs", value: (row) => row.scores?.n ?? null, cell: (row) => count(row.scores?.n) },
    {
      head: "Mean macro-F1",
      about: "Mean over the runs with its interval over judgments",
      value: (row) => row.scores?.mean ?? null,
      cell: ({ scores }) => (scores ? el("span", { title: scores.interval_note }, valued(scores.mean, scores.interval)) : "\u2013"),
    },
    {
      head: "SD between runs",
      about: "Standard deviation of macro-F1, with the score of every run",
      value: (row) => row.scores?.sd ?? null,
      cell: ({ scores }) => (scores && scores.runs.length > 1 ? [fixed(scores.sd), el("small", { class: "runs" }, scores.runs.map((score) => fixed(score)).join(" "))] : "\u2013"),
    },
    ...differenceColumns(rows),
    { head: "Invalid %", about: "Answers that cannot be read as YES or NO, of all runs", value: (row) => row.invalid_rate, cell: (row) => percent(row.invalid_rate) },
  ];
}
