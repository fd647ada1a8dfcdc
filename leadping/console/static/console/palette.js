/* Finding anything by a key. Without it, the link "Find" leads to a page that does the same. */
"use strict";

const palette = document.getElementById("palette");

function startPalette() {
  const form = palette.querySelector("form");
  const box = form.elements.text;
  const list = document.getElementById("palette-found");
  const said = palette.querySelector("[role=status]");
  let options = [];
  let active = -1; // the option that Enter opens; -1: none is chosen yet, and it opens the first
  let asked = null; // the request on its way, for the text as it is now
  let timer = null;
  let isEntered = false; // Enter came before the answer

  function choose(number) {
    if (options[active]) options[active].setAttribute("aria-selected", "false");
    active = number;
    const option = options[active];
    if (!option) {
      box.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    box.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }

  // The fragment is plain headings and links; here they are the groups and options of a list box.
  function show(html) {
    const found = new DOMParser().parseFromString(html, "text/html");
    const nothing = found.querySelector(".nothing");
    const sections = [...found.querySelectorAll("section")];
    for (const [number, section] of sections.entries()) {
      const title = section.querySelector("h2");
      title.id = `palette-group-${number}`;
      title.setAttribute("role", "presentation");
      section.setAttribute("role", "group");
      section.setAttribute("aria-labelledby", title.id);
      for (const one of section.querySelectorAll("ul, li")) one.setAttribute("role", "none");
    }
    list.replaceChildren(...sections);
    options = [...list.querySelectorAll("a")];
    for (const [number, option] of options.entries()) {
      option.id = `palette-option-${number}`;
      option.tabIndex = -1;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
    }
    list.scrollTop = 0;
    list.hidden = !options.length;
    box.setAttribute("aria-expanded", String(Boolean(options.length)));
    tell(nothing ? nothing.textContent : "", options.filter((one) => !one.matches(".all")).length);
    choose(-1);
  }

  function tell(text, count = 0) {
    said.textContent = text || (count ? `${count} found` : "");
    said.classList.toggle("visually-hidden", !text);
  }

  async function ask() {
    if (asked) asked.abort();
    const mine = (asked = new AbortController());
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new FormData(form),
        headers: { "X-Requested-With": "palette" },
        signal: mine.signal,
      });
      if (answer.redirected) location.reload(); // signed out meanwhile
      const html = await answer.text();
      if (asked !== mine) return; // an answer to what was typed before
      asked = null;
      if (!answer.ok) throw new Error(answer.status);
      show(html);
      if (isEntered) open();
    } catch {
      if (mine.signal.aborted) return;
      asked = null;
      show("");
      tell("That could not be looked up. Try again, or reload the page.");
    }
    isEntered = false;
  }

  function open() {
    const option = options[active] || options[0];
    if (option) option.click();
  }

  function forget() {
    clearTimeout(timer);
    timer = null;
    isEntered = false;
    if (asked) asked.abort();
    asked = null;
  }

  box.addEventListener("input", () => {
    forget();
    if (!box.value.trim()) {
      show("");
      return;
    }
    timer = setTimeout(() => {
      timer = null;
      ask();
    }, 150);
  });

  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) {
      const from = active < 0 && step < 0 ? 0 : active;
      choose((from + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      if (!timer && !asked) open();
      else isEntered = true;
    } else if (!step) return;
    event.preventDefault();
  });

  function start() {
    palette.showModal();
    box.focus();
  }

  // Nothing of what was typed or found stays in the page.
  palette.addEventListener("close", () => {
    forget();
    box.value = "";
    show("");
  });
  palette.addEventListener("click", (event) => {
    if (event.target === palette) palette.close();
  });

  for (const link of document.querySelectorAll(".open-palette")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      start();
    });
  }

  function isTyping(element) {
    const buttons = "[type=radio], [type=checkbox], [type=submit], [type=button], [type=file]";
    return element.isContentEditable || element.matches(`input:not(${buttons}), textarea, select`);
  }

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.isComposing || event.altKey || event.defaultPrevented) return;
    const isWithControl = event.ctrlKey || event.metaKey;
    const isKey = isWithControl ? event.key.toLowerCase() === "k" : event.key === "/";
    if (!isKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    start();
  });
}

if (palette) startPalette();
