// What the switches do, and how many judgments it would take to see it.

const MEASURES = { macro_f1: "macro-F1", accuracy: "accuracy", yes_rate: "yes-rate" };

function effectsSection() {
  const pools = DATA.effects.filter((one) => one.effects.length);
  const nameOf = (one) => (one.groups.length === 1 ? groupName(DATA.groups[one.groups[0]]) : one.title);
  const without = DATA.effects.filter((one) => !one.effects.length).map((one) => el("p", { class: "note" }, foreign(nameOf(one)), ", no effects: ", foreign(one.note)));
  if (!pools.length) return [without.length ? without : el("p", { class: "note" }, "Effects need arms that differ in one switch, such as None and D; these cells have none."), powerPart()];
  const names = pools.map(nameOf);
  const order = pools.map((_, number) => number).sort((a, b) => pools[b].groups.length - pools[a].groups.length);
  const state = { pool: 0, measure: 0 };
  const box = el("div");
  const show = (changes) => {
    Object.assign(state, changes);
    replace(box, effectsOf(pools[order[state.pool]], names[order[state.pool]], Object.keys(MEASURES)[state.measure]));
  };
  show({});
  return [
    el("p", { class: "lead" }, "The eight arms are a 2 \u00d7 2 \u00d7 2 factorial on the same judgments: D defines the rhetorical roles, R regroups the judgment by role, C lets the model write before it answers. The effect of a switch is the mean score with it less the mean without; an interaction is what two switches do together beyond what each does alone. Intervals are jackknife intervals: a judgment is left out with all that was answered about it. Tested are D, R and C on macro-F1, by swapping the answers with and without the switch judgment by judgment, with Holm\u2019s correction over the three; everything else is exploration."),
    el("div", { class: "tools" }, picker("Of", order.map((number) => names[number]), 0, (pool) => show({ pool })), picker("On", Object.values(MEASURES), 0, (measure) => show({ measure }))),
    box,
    without,
    powerPart(),
  ];
}

function effectsOf(pool, name, measure) {
  const rows = pool.effects.filter((one) => one.measure === measure);
  const drawn = rows.filter((one) => one.estimate !== null);
  const bounded = rows.some((one) => one.bound !== null);
  const caption = [foreign(name), el("span", { class: "sub" }, `effects on ${MEASURES[measure]}, n = ${count(pool.n)} judgments`)];
  const picture = drawn.length > 0 && responsive((width) => {
    const left = 84;
    const bottom = 10 + drawn.length * 28;
    const reach = Math.max(0.05, ...drawn.flatMap((one) => [one.estimate, ...(one.interval || [])]).map(Math.abs)) * 1.05;
    const x = linear([-reach, reach], [left, width - 14]);
    return canvas(
      width,
      bottom + 42,
      `Effects on ${MEASURES[measure]}: ${name}`,
      drawn.map((one) => `${one.name} ${signed(one.estimate)} ${bounds(one.interval, signed)}`).join("; "),
      bottomAxis(x, 4, bottom, `difference of ${MEASURES[measure]}`),
      svg("line", { class: "upright zero", x1: x(0), x2: x(0), y1: 4, y2: bottom }),
      drawn.map((one, number) => {
        const y = 18 + number * 28;
        const sure = one.shown;
        return svg("g", {}, svg("title", {}, `${one.name} ${signed(one.estimate)} ${bounds(one.interval, signed)}`), svg("text", { class: "name", x: left - 12, y: y + 4, "text-anchor": "end" }, one.name.replaceAll(":", " \u00d7 ")), whisker(x, y, one.estimate, one.interval, sure ? "arm real" : "arm open"));
      })
    );
  });
  const table = plain(
    `Effects on ${MEASURES[measure]}`,
    ["Effect", "Estimate", "Interval", "p permutation", "p Holm", bounded && "p Holm, bound", "Smallest detectable", "Note"].filter(Boolean),
    rows.map((one) => [
      one.name.replaceAll(":", " \u00d7 "),
      signed(one.estimate),
      bounds(one.interval, signed),
      pvalue(one.p_permutation),
      pvalue(one.p_holm),
      ...(bounded ? [pvalue(one.p_holm_bound)] : []),
      fixed(one.smallest_detectable),
      [one.p_permutation === null && one.estimate !== null ? "exploration" : "", one.note, one.interval_note].filter(Boolean).join("; "),
    ])
  );
  const notes = unique([pool.note, ...rows.map((one) => one.note)].filter(Boolean));
  return [figure(caption, picture || null, table), notes.map((note) => el("p", { class: "note" }, note)), el("p", { class: "key" }, "Filled: significant at 5 % after Holm\u2019s correction over D, R and C on macro-F1, and so with the invalid answers against the effect. Intervals are not adjusted for the number of effects.")];
}

function powerPart() {
  const able = DATA.groups.map((_, number) => number).filter((number) => Object.keys(DATA.power.groups[number]).length);
  if (!able.length) return null;
  const box = el("div");
  const show = (at) => replace(box, powerOf(able[at]));
  show(0);
  return [
    el("h3", {}, "How many judgments a difference would need"),
    el("p", { class: "lead" }, "Taking the observed difference in accuracy and the observed disagreement of the two arms for the true ones: the chance that the exact McNemar test finds the difference at 5 %, by the number of judgments."),
    able.length > 1 && el("div", { class: "tools" }, picker("Of", able.map((number) => groupName(DATA.groups[number])), 0, show)),
    box,
  ];
}

function powerOf(number) {
  const group = DATA.groups[number];
  const known = DATA.power.groups[number];
  const curves = group.rows.filter((cell) => known[cell]).map((cell) => ({ ...known[cell], label: DATA.cells[cell].label, pair: group.pairs[cell] }));
  const sizes = DATA.power.sizes;
  const drawn = curves.filter((curve) => curve.difference !== 0);
  const picture = responsive((width) => {
    const [left, right, bottom] = [56, width - 90, 230];
    const x = linear([Math.log10(sizes[0]), Math.log10(sizes[sizes.length - 1])], [left, right]);
    const y = linear([0, 1], [bottom, 12]);
    const path = (curve) => sizes.map((size, at) => `${at ? "L" : "M"}${x(Math.log10(size)).toFixed(1)} ${y(curve.power[at]).toFixed(1)}`).join("");
    const marks = [1, 2, 3, 4, 5].map((power) => svg("text", { x: x(power), y: bottom + 15, "text-anchor": "middle" }, count(10 ** power)));
    return canvas(
      width,
      bottom + 42,
      `Power by number of judgments: ${groupName(group)}`,
      drawn.map((curve) => `${curve.label}: ${curve.needed ? count(curve.needed) : "more than ten million"}`).join("; "),
      leftAxis(y, left, right, "power"),
      svg("g", { class: "axis" }, marks, svg("text", { class: "label", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, "judgments")),
      svg("line", { class: "upright coin", x1: left, x2: right, y1: y(0.8), y2: y(0.8) }),
      svg("text", { class: "remark", x: right + 6, y: y(0.8) + 4 }, "power 0.8"),
      svg("line", { class: "upright larger", x1: x(Math.log10(group.n)), x2: x(Math.log10(group.n)), y1: 12, y2: bottom }),
      svg("text", { class: "remark", x: x(Math.log10(group.n)), y: 8, "text-anchor": "middle" }, `n = ${count(group.n)}`),
      drawn.map((curve, at) => svg("path", { class: `curve hue-${at % 8}${at > 7 ? " dashed" : ""}`, d: path(curve) }, svg("title", {}, `${curve.label}: accuracy ${signed(curve.difference)}`)))
    );
  });
  const key = el("p", { class: "key" }, drawn.map((curve, at) => el("span", { class: `swatch hue-${at % 8}${at > 7 ? " dashed" : ""}` }, foreign(curve.label))));
  const table = sortable(
    "Judgments needed for power 0.8",
    [
      { head: "Arm", left: true, value: (curve) => curve.label, cell: (curve) => foreign(curve.label) },
      { head: "Accuracy", about: "Difference of accuracy to the reference arm", value: (curve) => curve.difference, cell: (curve) => signed(curve.difference) },
      { head: "Disagreement", about: "Share of judgments that just one of the two arms gets right", value: (curve) => curve.discordance, cell: (curve) => fixed(curve.discordance) },
      { head: "Judgments, accuracy", about: "For the exact McNemar test", value: (curve) => curve.needed, cell: (curve) => count(curve.needed) },
      { head: "Judgments, macro-F1", about: "For the permutation test to find the observed difference of macro-F1", value: (curve) => curve.needed_macro_f1, cell: (curve) => count(curve.needed_macro_f1) },
      { head: "Smallest detectable", about: "True difference of macro-F1 that these judgments would have shown with power 0.8", value: (curve) => curve.pair.smallest_detectable, cell: (curve) => fixed(curve.pair.smallest_detectable) },
    ],
    curves,
    { caption: "hidden" }
  );
  return [drawn.length > 0 && el("figure", {}, picture, key), table];
}
