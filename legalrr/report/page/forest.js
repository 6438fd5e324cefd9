// Macro-F1 side by side: a forest plot per group, and a heat map of arms by backbones.

function forestSection() {
  const groups = DATA.groups.filter((group) => group.rows.length);
  return [el("div", { class: "grid" }, groups.map((group) => [forest(group), differences(group)])), heatMaps()];
}

function forest(group) {
  const rows = groupRows(group);
  const level = `${Math.round(100 * group.confidence)} %`;
  // One scale for all groups, so that they can be compared.
  const [low, high] = reachOf(DATA.groups.flatMap(groupRows));
  const range = [Math.min(low, ...DATA.groups.map((one) => one.majority)), high];
  const caption = [foreign(groupName(group)), el("span", { class: "sub" }, `n = ${count(group.n)}, ${level} intervals`)];
  const about = rows.map((row) => `${row.cell.label} ${fixed(row.scores.macro_f1)} ${bounds(row.scores.interval)}`).join("; ");
  const picture = responsive((width) => {
    const left = Math.min(150, width * 0.34);
    const bottom = 14 + rows.length * 24;
    const x = linear(range, [left, width - 14]);
    const upright = (value, kind) => svg("line", { class: `upright ${kind}`, x1: x(value), x2: x(value), y1: 4, y2: bottom });
    return canvas(
      width,
      bottom + 42,
      `Macro-F1 of ${groupName(group)}`,
      about,
      bottomAxis(x, 4, bottom, "Macro-F1"),
      upright(group.chance, "coin"),
      upright(group.majority, "larger"),
      rows.map((row, number) => {
        const y = 16 + number * 24;
        return svg(
          "g",
          {},
          svg("title", {}, `${row.cell.label}: ${fixed(row.scores.macro_f1)} ${bounds(row.scores.interval)}`),
          svg("text", { class: "name", x: left - 12, y: y + 4, "text-anchor": "end" }, short(row.cell.label, left / 7.2)),
          whisker(x, y, row.scores.macro_f1 || 0, row.scores.interval, kindOf(row))
        );
      })
    );
  });
  const key = el("p", { class: "key" }, el("span", { class: "dotted" }, `a coin ${fixed(group.chance, 2)}`), el("span", { class: "dashed" }, `the larger class ${fixed(group.majority, 2)}`));
  return figure(caption, [picture, key], null);
}

// Each arm against the reference arm.
function differences(group) {
  const rows = groupRows(group).filter((row) => row.pair && row.pair.difference !== undefined);
  if (!rows.length) return null;
  const reach = Math.min(1, Math.max(0.05, ...rows.flatMap((row) => [row.pair.difference, ...(row.pair.interval || [])]).map(Math.abs)) * 1.05);
  const caption = [foreign(groupName(group)), el("span", { class: "sub" }, "difference to the reference arm")];
  const about = rows.map((row) => `${row.cell.label} ${signed(row.pair.difference)} ${bounds(row.pair.interval, signed)}, p Holm ${pvalue(row.pair.p_holm)}`).join("; ");
  const picture = responsive((width) => {
    const left = Math.min(150, width * 0.34);
    const bottom = 14 + rows.length * 24;
    const x = linear([-reach, reach], [left, width - 14]);
    return canvas(
      width,
      bottom + 42,
      `Difference of macro-F1 to the reference arm, ${groupName(group)}`,
      about,
      bottomAxis(x, 4, bottom, "difference of macro-F1"),
      svg("line", { class: "upright", x1: x(0), x2: x(0), y1: 4, y2: bottom }),
      rows.map((row, number) => {
        const y = 16 + number * 24;
        const kind = `${kindOf(row)} ${isReal(row.pair) ? "real" : "open"}`;
        return svg("g", {}, svg("title", {}, `${row.cell.label}: ${signed(row.pair.difference)} ${bounds(row.pair.interval, signed)}`), svg("text", { class: "name", x: left - 12, y: y + 4, "text-anchor": "end" }, short(row.cell.label, left / 7.2)), whisker(x, y, row.pair.difference, row.pair.interval, kind));
      })
    );
  });
  return figure(caption, [picture, el("p", { class: "key" }, "Filled: significant after Holm\u2019s correction.")], null);
}

function short(text, room) {
  return text.length > room ? `${text.slice(0, Math.max(3, room - 1))}\u2026` : text;
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
