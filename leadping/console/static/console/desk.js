/* The keys of the review desk. Everything they do is a link or a button of the page too. */
"use strict";

const decide = document.getElementById("decide");
const reason = document.getElementById("reason");
const keys = document.getElementById("keys");
const chips = [...document.querySelectorAll(".suggestions [data-reason]")];
let chosen = null; // the verb that Enter carries out: release or reject

function button(verb) {
  return decide && decide.querySelector(`[data-verb=${verb}]`);
}

function choose(verb) {
  if (!button(verb) || button(verb).disabled) return;
  chosen = verb;
  for (const one of decide.querySelectorAll("[data-verb]")) {
    one.classList.toggle("chosen", one.dataset.verb === verb);
  }
  let number = 0;
  for (const chip of chips) {
    chip.hidden = chip.dataset.for !== verb;
    if (!chip.hidden) chip.querySelector("kbd").textContent = ++number;
  }
  document.querySelector(".suggestions").hidden = false;
  reason.focus();
}

function isTyping(element) {
  return element.matches("input:not([type=radio]):not([type=checkbox]), textarea, select");
}

for (const chip of chips) {
  chip.addEventListener("click", () => {
    reason.value = chip.dataset.reason;
    reason.focus();
  });
}

// Enter in a line of the form carries out what was chosen; without a choice it does nothing.
if (reason && decide) {
  decide.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || event.isComposing) return;
    event.preventDefault();
    if (chosen && !event.repeat) decide.requestSubmit(button(chosen));
  });
  reason.addEventListener("keydown", (event) => {
    if (/^[1-9]$/.test(event.key) && chosen && !reason.value) {
      const shown = chips.filter((chip) => !chip.hidden);
      const chip = shown[Number(event.key) - 1];
      if (chip) {
        event.preventDefault();
        reason.value = chip.dataset.reason;
      }
    }
  });
}

// Once is enough: a second click or key while the answer is on its way is not sent.
for (const form of document.querySelectorAll("form[method=post]")) {
  let isSent = false;
  form.addEventListener("submit", (event) => {
    if (isSent) event.preventDefault();
    isSent = true;
  });
}
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // back from the history: as it stands now
});

for (const one of document.querySelectorAll("[data-open]")) {
  one.hidden = !keys;
  one.addEventListener("click", () => keys.showModal());
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (event.key === "Escape" && isTyping(document.activeElement)) {
    document.activeElement.blur();
    return;
  }
  if (isTyping(event.target) || (keys && keys.open)) return;
  const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
  const undo = document.getElementById("undo-form");
  if (event.key === "r") choose("release");
  else if (event.key === "x") choose("reject");
  else if (event.key === "n" && document.getElementById("note")) document.getElementById("note").focus();
  else if (event.key === "u" && undo) undo.requestSubmit();
  else if (event.key === "?" && keys) keys.showModal();
  else if (link) link.click();
  else return;
  event.preventDefault();
});
