/* Looks again how an export comes along; without it, a link does. */
"use strict";

const box = document.getElementById("progress");
const EVERY_MS = 2000;

async function look() {
  if (document.hidden) return later();
  try {
    const answer = await fetch(box.dataset.url, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) return later();
    const text = await answer.text();
    const found = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
    if (found.hasAttribute("data-over")) return location.reload();
    if (!box.contains(document.activeElement)) box.replaceChildren(found);
  } catch {
    // The network is away for a moment.
  }
  later();
}

function later() {
  setTimeout(look, EVERY_MS);
}

later();
