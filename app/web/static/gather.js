// Keeps receipts in one list in this browser, and nowhere else: the page's content security policy lets it connect to nothing. A
// receipt leaves the browser only when its owner opens it (as a form, so that it stands in no address) or saves the list.
"use strict";

const PLACE = "sayso.receipts.v1", MOST = 500, LONGEST = 60;
const byId = (id) => document.getElementById(id);
// A receipt's secret, with the address before it where there is one.
const FOUND = /(https?:\/\/[^\s"'<>]*?\/)?\b(rcp_[0-9a-hjkmnp-tv-z]{32})(?![0-9a-z])/g;

function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(list) ? list.filter(sound) : [];
  } catch { return []; }
}

function sound(one) {
  return typeof one === "object" && one !== null && typeof one.name === "string" && /^rcp_[0-9a-hjkmnp-tv-z]{32}$/.test(one.secret);
}

function keep(list) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(list));
    return true;
  } catch {
    tell(words("unkept"));
    return false;
  }
}

function tell(...told) { byId("told").replaceChildren(...told.flatMap((one, place) => (place ? [" ", one] : [one]))); }

function tidy(name) { return name.replace(/\p{C}/gu, " ").replace(/\s+/g, " ").trim().slice(0, LONGEST); }

// Receipts in a text: a file that was saved here, a receipt's own file, or whatever somebody copied.
function receiptsIn(text, name) {
  let listed = [];
  try {
    const file = JSON.parse(text);
    if (file?.type === "sayso-receipts" && Array.isArray(file.receipts)) listed = file.receipts.filter(sound);
  } catch { /* it is no such file */ }
  if (listed.length) return { found: listed.map((one) => ({ name: tidy(one.name), secret: one.secret })), others: 0 };
  const found = [];
  let others = 0;
  for (const [, address, secret] of text.matchAll(FOUND)) {
    if (address && new URL(address).origin !== location.origin) others++;
    else found.push({ name: tidy(name), secret });
  }
  return { found, others };
}

function add(text, name) {
  const { found, others } = receiptsIn(text, name);
  const list = kept(), known = new Set(list.map((one) => one.secret));
  let more = 0;
  for (const one of found) {
    if (known.has(one.secret) || list.length >= MOST) continue;
    known.add(one.secret);
    list.push(one);
    more++;
  }
  if (!keep(list)) return false;
  const told = more ? words("new", more) : words(found.length ? "known" : "nothing");
  tell(told, ...(others ? [words("others", others)] : []));
  show();
  return found.length > 0;
}

function show() {
  const list = kept();
  byId("list").replaceChildren(...list.map((one, place) => {
    const item = document.createElement("li"), name = document.createElement("bdi"), open = document.createElement("form");
    name.append(one.name || words("unnamed"), ", ", words("ends", one.secret.slice(-4)));
    open.method = "post";
    open.action = "/r/open";
    const secret = Object.assign(document.createElement("input"), { type: "hidden", name: "receipt", value: one.secret });
    const go = document.createElement("button"), off = document.createElement("button");
    go.append(words("open"));
    off.append(words("take-off"));
    off.type = "button";
    off.className = "plain";
    for (const button of [go, off]) button.setAttribute("aria-label", `${button.textContent}: ${name.textContent}`);
    off.addEventListener("click", () => {
      keep(kept().filter((other) => other.secret !== one.secret));
      tell(words("off"));
      show();
      byId("list").querySelectorAll("button.plain")[Math.min(place, list.length - 2)]?.focus();
    });
    open.append(secret, go, " ", off);
    item.append(name, open);
    return item;
  }));
  byId("none").hidden = list.length > 0;
  byId("out").hidden = list.length === 0;
}

byId("add").addEventListener("submit", (event) => {
  event.preventDefault();
  if (add(byId("pasted").value, byId("name").value)) event.target.reset();
});

byId("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  if (file.size > 1_000_000) tell(words("large"));
  else add(await file.text(), "");
  event.target.value = "";
});

byId("save").addEventListener("click", () => {
  const text = JSON.stringify({ v: 1, type: "sayso-receipts", receipts: kept() }, null, 1) + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "my-sayso-receipts.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

byId("empty").addEventListener("click", () => {
  keep([]);
  tell(words("emptied"));
  show();
});

byId("without").hidden = true;
byId("with").hidden = false;
addEventListener("storage", show);
show();
