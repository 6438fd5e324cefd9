// Elements, and the one way by which text comes into the page: as text nodes, with control characters as pictures.

const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ud800-\udfff]/gu;

function visible(text) {
  return String(text).replace(CONTROL, (mark) => {
    const code = mark.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? "\u2421" : "\ufffd";
  });
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
  return node;
}

function dress(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : visible(value));
  }
  return node;
}

function el(name, attributes = {}, ...children) {
  return fill(dress(document.createElement(name), attributes), children);
}

function svg(name, attributes = {}, ...children) {
  return fill(dress(document.createElementNS("http://www.w3.org/2000/svg", name), attributes), children);
}

function replace(node, ...children) {
  node.textContent = "";
  return fill(node, children);
}

// Text from judgments, models and folders may run from right to left; it must not turn what stands around it.
function foreign(text, attributes = {}) {
  return el("bdi", attributes, text);
}

function fixed(value, digits = 3) {
  if (value === null || value === undefined) return "\u2013";
  const text = value.toFixed(digits);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", "\u2212");
}

function signed(value, digits = 3) {
  if (value === null || value === undefined) return "\u2013";
  const text = fixed(value, digits);
  return value > 0 && !/^0\.?0*$/.test(text) ? `+${text}` : text;
}

function percent(value, digits = 1) {
  return value === null || value === undefined ? "\u2013" : `${(100 * value).toFixed(digits)}`;
}

function count(value) {
  return value === null || value === undefined ? "\u2013" : value.toLocaleString("en").replaceAll(",", "\u2009");
}

function bounds(interval, format = fixed) {
  return interval ? `[${format(interval[0])}, ${format(interval[1])}]` : "[\u2013]";
}

function pvalue(value) {
  if (value === null || value === undefined) return "\u2013";
  return value < 0.0001 ? "<0.0001" : value.toFixed(4);
}

function plural(number, word, more = `${word}s`) {
  return `${count(number)} ${number === 1 ? word : more}`;
}

function unique(values) {
  return [...new Set(values)];
}

function sum(values) {
  return values.reduce((total, value) => total + (value || 0), 0);
}

// A choice that several sections share, such as the group that they show.
function picker(label, options, chosen, choose) {
  const select = el("select", { onchange: () => choose(Number(select.value)) });
  options.forEach((option, number) => select.append(el("option", { value: number, selected: number === chosen }, option)));
  return el("label", { class: "picker" }, label, " ", select);
}

// A drawing beside its figures, in a cell of a table.
function beside(picture, ...figures) {
  return el("div", { class: "beside" }, picture, el("div", {}, figures));
}

// A figure with its caption; the same figures stand in a table that opens below it.
function figure(caption, picture, table) {
  const folded = table && el("details", { class: "numbers" }, el("summary", {}, "As a table"), table);
  return el("figure", {}, el("figcaption", {}, caption), picture, folded);
}

// Draws into a box as wide as there is room, again whenever that changes.
function responsive(draw) {
  const box = el("div", { class: "chart" });
  let before = 0;
  new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (width && width !== before) replace(box, draw((before = width)));
  }).observe(box);
  return box;
}
