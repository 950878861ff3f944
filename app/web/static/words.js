// The texts that a page has for its script, in the page's language: copies out of <template id="words">. With a number, the form that
// the language has for it, and the number where the text wants it.
"use strict";

const PLURAL = new Intl.PluralRules(document.documentElement.lang), NUMBER = new Intl.NumberFormat("en");

function words(name, value) {
  const all = [...document.getElementById("words").content.querySelectorAll("[data-text]")].filter((one) => one.dataset.text === name);
  const form = typeof value === "number" ? PLURAL.select(value) : undefined;
  const found = all.find((one) => one.dataset.form === form) ?? all.at(-1);
  if (!found) return document.createTextNode(name);
  const copy = document.importNode(found, true);
  for (const place of copy.querySelectorAll("data")) place.textContent = typeof value === "number" ? NUMBER.format(value) : value;
  return copy;
}
