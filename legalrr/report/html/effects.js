// Effects of the switches, and the number of judgments that would show a difference.

const MEASURES = { macro_f1: "macro-F1", accuracy: "accuracy", yes_rate: "YES rate" };

function effectsSection() {
  const pools = DATA.effects.map((pool, number) => ({ ...pool, number, name: pool.groups.length === 1 ? groupName(DATA.groups[pool.groups[0]]) : pool.title }));
  const known = pools.filter((pool) => pool.effects.length).sort((one, other) => other.groups.length - one.groups.length);
  const without = pools.filter((pool) => !pool.effects.length).map((pool) => el("p", { class: "note" }, foreign(pool.name), ", no effects: ", foreign(pool.note)));
  if (!known.length) return [without.length ? without : el("p", { class: "note" }, "Effects need arms that differ in one switch, such as none and D; these cells have none."), powerPart()];
  return [
    el("p", { class: "lead" }, "The eight arms are a 2 \u00d7 2 \u00d7 2 factorial on the same judgments: D defines the rhetorical roles, R regroups the judgment by role, C lets the model write before it answers. The effect of a switch is the mean score with it minus the mean without it; an interaction is the joint effect of two switches beyond their single effects. Intervals are jackknife intervals over judgments, each left out with all its answers. D, R and C are tested on macro-F1: the answers with and without the switch are swapped judgment by judgment, with Holm\u2019s correction over the three. All other effects are exploratory."),
    choice("Of", known.map((pool) => pool.name), (at) => effectsOf(known[at])),
    without,
    powerPart(),
  ];
}

function effectsOf(pool) {
  const names = unique(pool.effects.map((one) => one.name));
  const rows = names.map((name) => ({ name, ...Object.fromEntries(pool.effects.filter((one) => one.name === name).map((one) => [one.measure, one])) }));
  const tested = (head, about, read, format = pvalue) => ({ head, about, value: ({ macro_f1: one }) => read(one), cell: ({ macro_f1: one }) => format(read(one)) });
  const columns = [
    { head: "Effect", left: true, value: (row) => row.name.replaceAll(":", " \u00d7 ") },
    ...Object.entries(MEASURES).map(([measure, head]) => ({
      head,
      about: `Effect on ${head} with its interval`,
      value: (row) => row[measure].estimate,
      cell: (row) => el(row[measure].shown ? "strong" : "span", { title: row[measure].interval_note }, valued(row[measure].estimate, row[measure].interval, signed)),
    })),
    tested("p permutation", "Of the effect on macro-F1; none for exploratory effects", (one) => one.p_permutation),
    tested("p Holm", "Adjusted over D, R and C", (one) => one.p_holm),
    rows.some((row) => row.macro_f1.bound !== null) && tested("p Holm, bound", "The same with the invalid answers against the effect", (one) => one.p_holm_bound),
    tested("Smallest detectable", "Smallest true effect that the test would have found with power 0.8", (one) => one.smallest_detectable, fixed),
    { head: "Note", left: true, value: notesOf },
  ].filter(Boolean);
  const notes = unique([pool.note, ...pool.effects.map((one) => one.note)].filter(Boolean));
  return [
    el("p", { class: "sub" }, `n = ${count(pool.n)} judgments`),
    drawn(`effects-${pool.number}`),
    el("p", { class: "key" }, "Filled, and bold in the table: significant at 5 % after Holm\u2019s correction over D, R and C on macro-F1, also with the invalid answers against the effect. Intervals are not adjusted for the number of effects."),
    sortable("Effects", columns, rows, { caption: "hidden" }),
    notes.map((note) => el("p", { class: "note" }, note)),
  ];
}

function notesOf(row) {
  const untested = row.macro_f1.p_permutation === null && row.macro_f1.estimate !== null;
  const intervals = Object.entries(MEASURES).map(([measure, name]) => row[measure].interval_note && `${name}: ${row[measure].interval_note}`);
  return [untested && "exploratory", ...unique(Object.keys(MEASURES).map((measure) => row[measure].note)), ...intervals].filter(Boolean).join("; ");
}

function powerPart() {
  const able = DATA.groups.map((_, number) => number).filter((number) => Object.keys(DATA.power.groups[number]).length);
  if (!able.length) return null;
  return el(
    "div",
    { id: "power" },
    el("h3", {}, "Judgments needed to show a difference"),
    el("p", { class: "lead" }, "Power is the probability that the exact McNemar test finds the difference at 5 %, if the observed difference in accuracy and the observed disagreement of the two arms are the true ones."),
    choice("Of", able.map((number) => groupName(DATA.groups[number])), (at) => powerOf(able[at]))
  );
}

function powerOf(number) {
  const group = DATA.groups[number];
  const known = DATA.power.groups[number];
  const curves = group.rows.filter((cell) => known[cell]).map((cell) => ({ ...known[cell], label: DATA.cells[cell].label, pair: group.pairs[cell] }));
  const real = curves.filter((curve) => curve.power.length);
  const column = (head, about, value, format = count) => ({ head, about, value, cell: (curve) => format(value(curve)) });
  return [
    sortable(
      "Judgments needed for power 0.8",
      [
        { head: "Arm", left: true, value: (curve) => curve.label, cell: (curve) => foreign(curve.label) },
        column("Accuracy", "Difference of accuracy to the reference arm", (curve) => curve.difference, signed),
        column("Disagreement", "Share of judgments that exactly one of the two arms gets right", (curve) => curve.discordance, fixed),
        column("Judgments, accuracy", "For the exact McNemar test with power 0.8; none: more than ten million", (curve) => curve.needed),
        column("Judgments, macro-F1", "For the permutation test to find the observed difference of macro-F1", (curve) => curve.needed_macro_f1),
        column("Smallest detectable", "True difference of macro-F1 that these judgments would have shown with power 0.8", (curve) => curve.pair.smallest_detectable, fixed),
      ],
      curves,
      { caption: "hidden" }
    ),
    real.length > 0 &&
      el(
        "details",
        { class: "numbers" },
        el("summary", {}, `Power by number of judgments (here ${count(group.n)})`),
        sortable(
          "Power by number of judgments",
          [{ head: "Judgments", value: (at) => DATA.power.sizes[at], cell: (at) => count(DATA.power.sizes[at]) }, ...real.map((curve) => ({ head: foreign(curve.label), value: (at) => curve.power[at], cell: (at) => fixed(curve.power[at], 2) }))],
          [...DATA.power.sizes.keys()],
          { caption: "hidden" }
        )
      ),
  ];
}
