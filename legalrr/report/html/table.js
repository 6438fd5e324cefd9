// A table that is sorted by the heads of its columns.
//
// columns: { head, about, value(row), cell(row), left }: `value` is what is sorted by, `cell` what is shown (the value
// where it is left out), `left` sets words to the left. A value of null always comes last.

function sortable(caption, columns, rows, options = {}) {
  const body = el("tbody");
  const heads = columns.map((column, number) => {
    const button = el("button", { type: "button", title: column.about, onclick: () => sort(number) }, column.head);
    return el("th", { scope: "col", class: column.left ? "left" : null }, column.value ? button : el("span", { title: column.about }, column.head));
  });
  const drawn = new Map(rows.map((row) => [row, el("tr", options.row ? options.row(row) : {}, columns.map((column, number) => draw(column, row, number)))]));
  let chosen = null;
  let falling = false;

  function draw(column, row, number) {
    const shown = column.cell ? column.cell(row) : column.value(row);
    const kind = [column.left && "left", column.kind].filter(Boolean).join(" ") || null;
    return number === 0 ? el("th", { scope: "row", class: kind }, shown) : el("td", { class: kind }, shown);
  }

  function sort(number) {
    // Numbers start with the largest, words with A; a third press gives back the order of the report.
    const words = rows.some((row) => typeof columns[number].value(row) === "string");
    if (chosen !== number) [chosen, falling] = [number, !words];
    else if (falling !== words) falling = !falling;
    else [chosen, falling] = [null, false];
    show();
  }

  function show() {
    const order = chosen === null ? rows : [...rows].sort(compare);
    body.append(...order.map((row) => drawn.get(row)));
    heads.forEach((head, number) => {
      if (number === chosen) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  function compare(one, other) {
    const [a, b] = [columns[chosen].value(one), columns[chosen].value(other)];
    const [lacks, wants] = [a === null || a === undefined, b === null || b === undefined];
    if (lacks || wants) return lacks - wants;
    const sign = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
    return falling ? -sign : sign;
  }

  show();
  const table = el("table", {}, el("caption", { class: options.caption === "hidden" ? "unseen" : null }, caption), el("thead", {}, el("tr", {}, heads)), body);
  const scroll = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
  return Object.assign(scroll, { only: (keep) => drawn.forEach((line, row) => (line.hidden = !keep(row))) });
}

// A table of strings, as they are.
function plain(caption, head, lines) {
  return sortable(caption, head.map((name, number) => ({ head: name, value: (line) => line[number], left: number === 0 })), lines, { caption: "hidden" });
}
