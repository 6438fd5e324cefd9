// The turns of a conversation, as they were sent and answered.

function conversation(record, answer, shared) {
  if (answer.error) return [el("h4", {}, "Turns"), el("p", { class: "note" }, "The engine failed: ", foreign(answer.error))];
  if (!answer.sent.length && !answer.turns.length) return el("p", { class: "note" }, "A baseline: no model was called.");
  const parts = answer.earlier.map(([turn, messages]) => [el("h5", {}, `Turn: ${turn}`), messages.map((message) => messageNode(message, record, answer, shared)), answerNode(answer, turn)]);
  const last = answer.turns[answer.turns.length - 1];
  const opens = answer.earlier.length > 0 && el("h5", {}, `Turn: ${last ? last.name : "answer"}`);
  return [
    el("h4", {}, "Turns as sent and answered"),
    el("div", { class: "talk" }, parts, opens, answer.sent.map((message) => messageNode(message, record, answer, shared)), last && answerNode(answer, last.name, true)),
  ];
}

function messageNode([role, ...parts], record, answer, shared) {
  const turn = parts.length === 1 && parts[0].turn;
  if (role === "assistant" && turn) return answerNode(answer, turn);
  const nodes = parts.map((part) => {
    const words = wordsOf(part, record, shared);
    if (words !== null) return words;
    if ("turn" in part) return el("q", { class: "quoted", title: `answer of the turn ${part.turn}` }, answerText(answer, part.turn));
    return documentNode(record, record.documents[part.document]);
  });
  return el("section", { class: `message ${role}` }, el("h6", {}, role), el("div", { class: "words", dir: "auto" }, nodes));
}

// The judgment inside a prompt, folded, as it is shown above.
function documentNode(record, shown) {
  const words = shown.shown.reduce((total, [, start, end]) => total + end - start, 0);
  const box = el("details", { class: "document" }, el("summary", {}, `the judgment as shown: ${plural(shown.shown.length, "block")}, ${count(words)} characters`));
  box.addEventListener("toggle", () => box.open && box.children.length === 1 && box.append(coloured(shownPieces(record, shown))));
  return box;
}

function answerNode(answer, name, last = false) {
  const turn = answer.turns.find((one) => one.name === name);
  if (!turn) return null;
  const details = [
    name,
    { length: "cut off", overflow: "did not fit", stop: null }[turn.finish_reason],
    turn.prompt_tokens && `${count(turn.prompt_tokens)} tokens read${turn.cached_tokens ? `, ${count(turn.cached_tokens)} of them cached` : ""}`,
    turn.new_tokens && `${count(turn.new_tokens)} written`,
    turn.seconds && `${fixed(turn.seconds, 2)} s`,
    turn.logprobs && Object.entries(turn.logprobs).map(([word, value]) => `log p(${word}) ${fixed(value, 2)}`).join(", "),
  ].filter(Boolean);
  const text = new Text(turn.text);
  const span = last && answer.span;
  const words = span ? [text.slice(0, span[0]), el("mark", { title: "the verdict was read here" }, text.slice(span[0], span[1])), text.slice(span[1], text.length)] : turn.text || (turn.logprobs ? el("span", { class: "about" }, "the probabilities of YES and NO were compared; nothing was written") : el("span", { class: "about" }, "(nothing)"));
  return el("section", { class: "message answer" }, el("h6", {}, "model", el("span", { class: "about" }, details.join(" \u00b7 "))), el("div", { class: "words", dir: "auto" }, words));
}
