// Runs of one experiment as one row: what another run could have shown, and what other judgments could have, apart.

function repeatsSection() {
  return [
    el(
      "p",
      { class: "lead" },
      "These experiments ran more than once, with answers drawn anew. The interval of the mean is over judgments, all runs of a judgment resampled together: what other judgments could have shown, which more runs do not narrow. The standard deviation (SD) is between runs: how much one run can mislead. In a difference all answers of two arms to a judgment are swapped at once."
    ),
    DATA.repeats.map(repeatsOf),
  ];
}

function repeatsOf(found) {
  const group = DATA.groups[found.groups[0]];
  const rows = found.rows.map((row) => ({ ...row, group, number: row.reference ? group.reference : row.cells[0], cell: DATA.cells[row.cells[0]] }));
  const title = `${groupName({ ...group, run: null })}, ${found.groups.length} runs`;
  return [el("h3", {}, foreign(title)), sortable(title, repeatColumns(rows), rows, { row: (row) => ({ class: kindOf(row) }), caption: "hidden" }), el("p", { class: "key" }, "A dot is a run, the upright stroke their mean.")];
}

function repeatColumns(rows) {
  const known = rows.map((row) => row.scores).filter(Boolean);
  const range = tenths([0.5, ...known.flatMap((scores) => [...scores.runs, ...(scores.interval || [])])]);
  const drawn = `drawn from ${fixed(range[0], 1)} to ${fixed(range[1], 1)}`;
  return [
    { head: "Arm", left: true, value: (row) => row.cell.label, cell: armName },
    { head: "Runs", value: (row) => row.cells.length, cell: (row) => count(row.cells.length) },
    { head: "n", about: "Judgments, the same in all runs", value: (row) => row.scores?.n ?? null, cell: (row) => count(row.scores?.n) },
    {
      head: "Mean macro-F1",
      about: `Mean over the runs with its interval over judgments; ${drawn}`,
      value: (row) => row.scores?.mean ?? null,
      cell: ({ scores, ...row }) => (scores ? beside(spark(scores.mean, scores.interval, range, kindOf(row)), fixed(scores.mean), el("small", { title: scores.interval_note }, bounds(scores.interval))) : "\u2013"),
    },
    {
      head: "SD between runs",
      about: `Standard deviation of macro-F1, with the least and the greatest; a dot per run, ${drawn}`,
      value: (row) => row.scores?.sd ?? null,
      cell: ({ scores, ...row }) => (scores && scores.runs.length > 1 ? beside(dots(scores.runs, scores.mean, range, kindOf(row)), fixed(scores.sd), el("small", {}, `${fixed(Math.min(...scores.runs))} to ${fixed(Math.max(...scores.runs))}`)) : "\u2013"),
    },
    ...differenceColumns(rows),
    { head: "Invalid %", about: "Answers that cannot be read as YES or NO, of all runs", value: (row) => row.invalid_rate, cell: (row) => percent(row.invalid_rate) },
  ];
}
