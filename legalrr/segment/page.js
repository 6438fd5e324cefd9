
"use strict";
// Sentences are walked through by the keys j and k, all of them or those of the role that was chosen in the legend.
const sentences = [...document.querySelectorAll("main .s")];
const links = [...document.querySelectorAll("a.role")];
const status = document.querySelector(".status");
document.querySelector(".keys").hidden = false;
let chosen = "";
let current = null;

function place(sentence) {
  return Number(sentence.id.slice(1));
}

function tell(sentence) {
  status.textContent = sentence
    ? `${sentence.dataset.heading}, probability ${sentence.dataset.score}; sentence ${place(sentence)} of ${sentences.length}`
    : "";
}

function move(sentence) {
  if (current) current.classList.remove("current");
  current = sentence;
  if (current) {
    current.classList.add("current");
    current.scrollIntoView({ block: "nearest" });
  }
  tell(current);
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
  const here = current ? place(current) : by > 0 ? 0 : Infinity;
  const found = by > 0 ? pool.find((one) => place(one) > here) : pool.findLast((one) => place(one) < here);
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
document.querySelector("main").addEventListener("mouseover", (event) => tell(event.target.closest(".s") || current));
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
