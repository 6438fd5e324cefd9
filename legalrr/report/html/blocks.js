// The record of a judgment: its block, decompressed when it is opened, and prompts joined from their parts.

const blockOf = new Map();

async function unpack(name) {
  const node = document.getElementById(name);
  if (!node) return null;
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot decompress the texts; one of 2023 or later can");
  const bytes = Uint8Array.from(atob(node.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// The block of a judgment, or null where the page has none; promises are cached, so that each is decompressed once.
function block(collection, place) {
  const name = `t${collection}-${place}`;
  if (!blockOf.has(name)) blockOf.set(name, unpack(name));
  if (blockOf.size > 64) blockOf.delete(blockOf.keys().next().value);
  return blockOf.get(name);
}

let phrases = null;

function sharedPhrases() {
  phrases = phrases || unpack("phrases");
  return phrases;
}

// Offsets count characters as Python does; JavaScript counts some of them twice.
class Text {
  constructor(text) {
    this.whole = text;
    this.points = /[\ud800-\udfff]/.test(text) ? Array.from(text) : null;
  }

  get length() {
    return this.points ? this.points.length : this.whole.length;
  }

  slice(start, end) {
    return this.points ? this.points.slice(start, end).join("") : this.whole.slice(start, end);
  }
}

// The words of a part; null for the document and for quoted answers, which are shown in their own way.
function wordsOf(part, record, shared) {
  if (typeof part === "string") return part;
  if (typeof part === "number") return part < 0 ? record.strings[-1 - part] : shared[part];
  return null;
}

function answerText(answer, turn) {
  return (answer.turns.find((one) => one.name === turn) || { text: "" }).text;
}

// A piece per shown block, in the order shown, with the separator before it in the prompt.
function shownPieces(record, document) {
  if (!document.between || !record.text) return null;
  const text = new Text(record.text);
  return document.shown.map(([role, start, end], number) => ({ role, start, between: number ? document.between[number - 1] : "", text: text.slice(start, end) }));
}

// The whole judgment in its own order: shown, hidden and why, or left out.
function wholePieces(record, document) {
  if (!record.text) return null;
  const text = new Text(record.text);
  const marks = [
    ...document.shown.map(([role, start, end]) => ({ role, start, end, state: "shown" })),
    ...document.hidden.map(([start, end, role, reason]) => ({ role, start, end, state: "hidden", reason })),
  ].sort((one, other) => one.start - other.start || one.end - other.end);
  const pieces = [];
  let at = 0;
  for (const mark of marks) {
    // Text dropped to fit the budget is neither shown nor hidden.
    if (mark.start > at) pieces.push(...rest(text.slice(at, mark.start)));
    const start = Math.max(at, mark.start);
    if (mark.end > start) pieces.push({ ...mark, text: text.slice(start, mark.end) });
    at = Math.max(at, mark.end);
  }
  if (at < text.length) pieces.push(...rest(text.slice(at, text.length)));
  return pieces;
}

function rest(text) {
  return [{ role: "", state: /\S/.test(text) ? "left" : "space", text }];
}
