
"use strict";
// The keys j and k move through all sentences, or through those of the role selected in the legend.
const sentences = [...document.querySelectorAll("main .s")];
const links = [...document.querySelectorAll("a.role")];
const status = document.querySelector(".status");
document.querySelector(".keys").hidden = false;
let chosen = "";
let current = null;

function numberOf(sentence) {
  return Number(sentence.id.slice(1));
}

function announce(sentence) {
  status.textContent = sentence
    ? `${sentence.dataset.heading}, probability ${sentence.dataset.score}; sentence ${numberOf(sentence)} of ${sentences.length}`
    : "";
}

function move(sentence) {
  if (current) current.classList.remove("current");
  current = sentence;
  if (current) {
    current.classList.add("current");
    current.scrollIntoView({ block: "nearest" });
  }
  announce(current);
}

function choose(role) {
  chosen = role;
  document.body.classList.toggle("choosing", role !== "");
  for (const sentence of sentences) sentence.classList.toggle("chosen", sentence.classList.contains(role || "s"));
  for (const link of links) {
    if (link.dataset.role === role) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function step(by) {
  const pool = sentences.filter((sentence) => !chosen || sentence.classList.contains(chosen));
  if (!pool.length) return;
  const here = current ? numberOf(current) : by > 0 ? 0 : Infinity;
  const found = by > 0 ? pool.find((one) => numberOf(one) > here) : pool.findLast((one) => numberOf(one) < here);
  move(found || pool.at(by > 0 ? 0 : -1));
}

for (const link of links) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (chosen !== link.dataset.role) {
      choose(link.dataset.role);
      move(null);
    }
    step(event.shiftKey ? -1 : 1);
  });
}
document.querySelector("main").addEventListener("mouseover", (event) => announce(event.target.closest(".s") || current));
document.querySelector("main").addEventListener("click", (event) => {
  if (event.target.closest(".s") && getSelection().isCollapsed) move(event.target.closest(".s"));
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "Escape") {
    choose("");
    move(null);
  }
});
