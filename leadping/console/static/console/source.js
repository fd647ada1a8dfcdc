/* Shows what a field map makes of a post, while it is typed. */
"use strict";

const map = document.getElementById("id_field_map");
const example = document.getElementById("example");
if (map && example) {
  let asked = 0;
  const show = async () => {
    const mine = ++asked;
    await new Promise((done) => setTimeout(done, 250));
    if (mine !== asked) return;
    const token = map.form.elements.csrfmiddlewaretoken.value;
    const body = new URLSearchParams({ field_map: map.value, csrfmiddlewaretoken: token });
    const answer = await fetch(example.dataset.url, { method: "POST", body });
    if (answer.ok && mine === asked) example.innerHTML = await answer.text();
  };
  map.addEventListener("input", show);
  if (map.value !== map.defaultValue) show(); // typed before this script was here
}
