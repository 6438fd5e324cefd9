// Elements. All text enters the page as text nodes, with control characters replaced by visible symbols.

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

// Isolates text from judgments, models and folders, which may run from right to left.
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

// A labelled select; calls `choose` with the number of the option.
function picker(label, options, chosen, choose) {
  const select = el("select", { onchange: () => choose(Number(select.value)) });
  options.forEach((option, number) => select.append(el("option", { value: number, selected: number === chosen }, option)));
  return el("label", { class: "picker" }, label, " ", select);
}

// A value of a table with its interval below it.
function valued(value, interval, format = fixed, ...more) {
  return [format(value), el("small", {}, bounds(interval, format)), more];
}

// The figures of the page, drawn before; each moves into its section.
const FIGURES = new Map([...document.querySelectorAll("#figures > figure")].map((node) => [node.id, node]));

function drawn(name) {
  return FIGURES.get(`figure-${name}`);
}

// A picker where there are several options, above what `show` makes of the chosen one.
function choice(label, options, show, chosen = 0) {
  const box = el("div", {}, show(chosen));
  return [options.length > 1 && el("div", { class: "tools" }, picker(label, options, chosen, (at) => replace(box, show(at)))), box];
}
