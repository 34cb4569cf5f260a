// Keys and selection. Everything works by mouse and without this file, too; nothing is stored in the browser.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const typing = (target) => target.closest("input:not([type=radio]), textarea, select");

// --- the worklist and other lists --------------------------------------------------------------------------------

function moveRow(step) {
  const rows = all("[data-row]");
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  rows.forEach((row) => row.classList.toggle("at", row === next));
  next.scrollIntoView({ block: "nearest" });
}

function openRow(row) {
  const link = row && one("a", row);
  if (link) link.click();
}

// --- the case ----------------------------------------------------------------------------------------------------

const cards = () => all("[data-finding]").filter((card) => !card.closest("details:not([open])"));
const active = () => one("[data-finding].active");

function select(card, scroll = true) {
  if (!card || (card !== active() && !leaves())) return;
  const id = card.dataset.finding;
  all("[data-finding]").forEach((other) => {
    other.classList.toggle("active", other === card);
    other.toggleAttribute("aria-current", other === card);
    if (other !== card) panels(other, null);
  });
  all("mark").forEach((mark) => mark.classList.toggle("on", mark.dataset.for.split(" ").includes(id)));
  card.scrollIntoView({ block: "nearest" });
  if (scroll) show(one(".record mark.on") || one("mark.on"));
}

function show(mark) {
  if (mark && mark.closest(".record")) mark.scrollIntoView({ block: "center" });
}

// What somebody typed and nobody has saved. A field of a form that came back from a refusal counts from the start.
const changed = (field) => (field.tagName === "SELECT"
  ? [...field.options].some((option) => option.selected !== option.defaultSelected)
  : field.type !== "hidden" && field.value !== field.defaultValue);
const isUnsaved = (panel) => panel.dataset.refused || all("textarea, input, select", panel).some(changed);
const unsaved = () => all("[data-panel]").filter(isUnsaved);

function leaves(left = unsaved()) {
  if (left.length && !confirm(one("[data-discard]").dataset.discard)) return false;
  left.forEach((panel) => { panel.reset(); delete panel.dataset.refused; });
  return true;
}

function moveCard(step) {
  const list = cards();
  const at = list.indexOf(active());
  select(list[Math.min(list.length - 1, Math.max(0, at + step))]);
}

function panels(card, name) {
  all("[data-panel]", card).forEach((panel) => { panel.hidden = panel.dataset.panel !== name; });
  const field = name === "edit" && one("[data-panel=edit] :is(textarea, input:not([type=hidden]))", card);
  if (field) field.focus();
  if (field && field.select && field.tagName === "INPUT") field.select();
}

function act(card, name) {
  if (!card) return;
  const button = one(`[data-act=${name}]`, card);
  if (!button || button.disabled) return;
  if (name === "accept") button.click();
  else if (!one(`[data-panel=${name}]:not([hidden])`, card) && leaves()) panels(card, name === "close" ? null : name);
}

// What would be right, for the doctor to paste where it belongs. Pages without HTTPS have no clipboard but this one.
function copyText(part) {
  const range = document.createRange();
  range.selectNodeContents(part);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  document.execCommand("copy");
}

function reject(card, number) {
  const panel = card && one("[data-panel=reject]:not([hidden])", card);
  const button = panel && one(`[data-reason="${number}"]`, panel);
  if (button) button.click();
}

// --- by mouse ----------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const target = event.target;
  const row = target.closest("[data-row]");
  if (row && !target.closest("a, button, form")) return openRow(row);
  const link = target.closest("[data-go]");
  const other = link && one(`[data-finding="${link.dataset.go}"]`);
  if (other) {
    event.preventDefault();
    return select(other);
  }
  const proof = target.closest("[data-show]");
  if (proof) {
    select(proof.closest("[data-finding]"), false);
    return show(one(`mark[data-proof~="${proof.dataset.show}"]`));
  }
  const mark = target.closest("mark");
  if (mark) return select(one(`[data-finding="${mark.dataset.for.split(" ")[0]}"]`), false);
  const copy = target.closest("[data-copy]");
  if (copy) { copyText(one("[data-text]", copy.parentElement)); return; }
  const button = target.closest("[data-act]");
  if (button && button.type === "button") return act(button.closest("[data-finding]"), button.dataset.act);
  const card = target.closest("[data-finding]");
  if (card && !card.classList.contains("active")) select(card);
});

// --- by key ------------------------------------------------------------------------------------------------------

const keys = {
  j: () => (active() ? moveCard(1) : moveRow(1)),
  k: () => (active() ? moveCard(-1) : moveRow(-1)),
  a: () => act(active(), "accept"),
  e: () => act(active(), "edit"),
  x: () => act(active(), "reject"),
  "?": () => { const help = one("#help"); if (help) help.showModal(); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && active()) {
    if (!leaves()) return event.preventDefault();
    panels(active(), null);
    event.target.blur();
    return;
  }
  if (typing(event.target) || one("dialog[open]")) return;
  if (event.key >= "1" && event.key <= "9") return reject(active(), event.key); // takes the note along
  if (unsaved().length) return;
  if (event.key === "Enter" && !event.target.closest("a, button, summary")) openRow(one("[data-row].at"));
  else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

// The page is left by a link, the browser's own buttons, or its end; a form that is sent takes what was typed along.
let sent = false;
document.addEventListener("submit", (event) => {
  sent = leaves(unsaved().filter((panel) => panel !== event.target));
  if (sent) return;
  event.preventDefault();
  event.stopPropagation();
}, true);
document.addEventListener("htmx:afterRequest", () => { sent = false; });
addEventListener("beforeunload", (event) => { if (!sent && unsaved().length) event.preventDefault(); });

// What a decision brought back is the active card again, with its evidence marked.
document.addEventListener("htmx:afterSwap", () => { if (active()) select(active(), false); });

document.addEventListener("DOMContentLoaded", () => {
  if (active()) select(active());
  else if (one("[data-row]")) one("[data-row]").classList.add("at");
  document.documentElement.dataset.ready = ""; // the keys answer from now on
});
