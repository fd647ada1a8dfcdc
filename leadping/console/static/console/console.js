/* What the pages of the console do beyond links and forms; all of them work without it. */
"use strict";

// A copy button: data-copy holds the text, or data-copy-from the id of what holds it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const from = button.dataset.copyFrom;
  const text = from ? document.getElementById(from).textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(document.getElementById(from) || button);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected: press Ctrl-C";
  }
});

// A list of filters opens one at a time, and closes on a click elsewhere or Escape.
const filters = [...document.querySelectorAll("#changelist-filter details")];
document.addEventListener("click", (event) => {
  for (const one of filters) if (!one.contains(event.target)) one.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const one of filters) one.open = false;
});

// What Django's widgets make leaves out for screen readers: marks with a label have no role, and
// a box that searches while one types has no name.
addEventListener("load", () => {
  for (const one of document.querySelectorAll("span.help-tooltip[aria-label]")) one.setAttribute("role", "img");
  for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
    const label = select.labels[0];
    const box = select.nextElementSibling;
    if (!label || !box) continue;
    label.id ||= `label-of-${select.id}`;
    for (const one of box.querySelectorAll("[role=combobox], [role=textbox]")) {
      one.setAttribute("aria-labelledby", `${label.id} ${one.getAttribute("aria-labelledby") || ""}`.trim());
    }
  }
});
