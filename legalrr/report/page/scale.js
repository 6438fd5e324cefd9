// What figures have in common: scales, axes, intervals.

function linear(domain, range) {
  const [low, high] = domain;
  const scale = (value) => range[0] + ((value - low) / (high - low || 1)) * (range[1] - range[0]);
  return Object.assign(scale, { domain, range });
}

function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step / 1e6; at += step) found.push(Number(at.toPrecision(10)));
  return found;
}

function tickText(value, all) {
  const digits = Math.max(0, ...all.map((one) => (String(one).split(".")[1] || "").length));
  return fixed(value, Math.min(digits, 4));
}

// Values from left to right, with a rule per tick.
function bottomAxis(x, top, bottom, label, wanted = 5) {
  const all = ticks(x.domain[0], x.domain[1], wanted);
  return svg(
    "g",
    { class: "axis", "aria-hidden": "true" },
    all.map((value) => [
      svg("line", { x1: x(value), x2: x(value), y1: top, y2: bottom }),
      svg("text", { x: x(value), y: bottom + 15, "text-anchor": "middle" }, tickText(value, all)),
    ]),
    label && svg("text", { class: "label", x: (x.range[0] + x.range[1]) / 2, y: bottom + 32, "text-anchor": "middle" }, label)
  );
}

function leftAxis(y, left, right, label, wanted = 5) {
  const all = ticks(y.domain[0], y.domain[1], wanted);
  const middle = (y.range[0] + y.range[1]) / 2;
  return svg(
    "g",
    { class: "axis", "aria-hidden": "true" },
    all.map((value) => [
      svg("line", { x1: left, x2: right, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, tickText(value, all)),
    ]),
    label && svg("text", { class: "label", transform: `translate(${left - 40} ${middle}) rotate(-90)`, "text-anchor": "middle" }, label)
  );
}

function canvas(width, height, title, about, ...children) {
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img", "aria-label": about ? `${title}. ${about}` : title },
    svg("title", {}, title),
    about && svg("desc", {}, about),
    children
  );
}

// A value with its interval; `kind` chooses colour and shape.
function whisker(x, y, value, interval, kind) {
  return svg(
    "g",
    { class: `whisker ${kind}` },
    interval && svg("line", { x1: x(interval[0]), x2: x(interval[1]), y1: y, y2: y }),
    kind.includes("reference")
      ? svg("rect", { x: x(value) - 4, y: y - 4, width: 8, height: 8, transform: `rotate(45 ${x(value)} ${y})` })
      : kind.includes("baseline") || kind.includes("probe")
        ? svg("rect", { x: x(value) - 4, y: y - 4, width: 8, height: 8 })
        : svg("circle", { cx: x(value), cy: y, r: 4.5 })
  );
}

// From where to where scores are drawn: as far as they and their intervals reach, in tenths.
function tenths(values) {
  return [Math.floor(10 * Math.min(...values) + 1e-9) / 10, Math.ceil(10 * Math.max(...values) - 1e-9) / 10];
}

function reachOf(rows) {
  return tenths(rows.flatMap((row) => [row.scores.macro_f1 || 0, row.group.chance, ...(row.scores.interval || [])]));
}

// The small one that stands in a cell of a table. `zero`: where a rule is drawn.
function spark(value, interval, domain, kind, zero) {
  const x = linear(domain, [5, 91]);
  const clip = (one) => Math.min(domain[1], Math.max(domain[0], one));
  return svg(
    "svg",
    { class: "spark", viewBox: "0 0 96 18", width: 96, height: 18, "aria-hidden": "true" },
    zero !== undefined && svg("line", { class: "zero", x1: x(zero), x2: x(zero), y1: 0, y2: 18 }),
    value !== null && value !== undefined && whisker(x, 9, clip(value), interval && interval.map(clip), kind)
  );
}

// Values of one kind in a cell of a table, a dot each, and their mean as an upright stroke.
function dots(values, mean, domain, kind) {
  const x = linear(domain, [5, 91]);
  return svg(
    "svg",
    { class: "spark dots", viewBox: "0 0 96 18", width: 96, height: 18, role: "img", "aria-label": values.map((value) => fixed(value)).join(", ") },
    svg(
      "g",
      { class: `whisker ${kind}` },
      svg("line", { x1: x(mean), x2: x(mean), y1: 1, y2: 17 }),
      values.map((value) => svg("circle", { cx: x(value), cy: 9, r: 3 }, svg("title", {}, fixed(value))))
    )
  );
}

// Shares of a whole as one bar: [share, class, words] each.
function stacked(parts, width = 140) {
  let at = 0;
  return svg(
    "svg",
    { class: "stack", viewBox: `0 0 ${width} 14`, width, height: 14, role: "img", "aria-label": parts.map((part) => part[2]).join(", ") },
    parts.map(([share, kind, words]) => {
      const bar = svg("rect", { class: kind, x: at * width, y: 0, width: Math.max(0, share * width), height: 14 }, svg("title", {}, words));
      at += share;
      return bar;
    })
  );
}
