// Checks a receipt in this browser, with WebCrypto and nothing from anywhere: the steps of `sayso verify receipt`, in the same
// order and with the same words. The page's content security policy lets it connect to nothing.
"use strict";

class Failed extends Error {}
const fail = (why) => { throw new Failed(why); };
const same = (found, wanted, why) => found === wanted || fail(why);
const utf8 = new TextEncoder();
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const join = (...parts) => { const all = parts.flatMap((p) => Array.from(p)); return Uint8Array.from(all); };
const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

// -- reading ------------------------------------------------------------------------------------------------------------------
// JSON in the one way everybody must read it: no key twice, no fractions, integers within 2^53, no half characters.
function parse(text, what) {
  const broken = () => fail(`${what} is not JSON`);
  let at = 0, deep = 0;
  const space = () => { while (" \t\n\r".includes(text[at]) && at < text.length) at++; };
  const eat = (token) => { if (!text.startsWith(token, at)) broken(); at += token.length; };
  function string() {
    const found = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    found.lastIndex = at;
    const hit = found.exec(text) ?? broken();
    at += hit[0].length;
    const value = JSON.parse(hit[0]);
    if (!value.isWellFormed()) broken();
    return value;
  }
  function number() {
    const found = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
    found.lastIndex = at;
    const hit = found.exec(text) ?? broken();
    at += hit[0].length;
    if (hit[1] || hit[2] || hit[0].length > 17 || !Number.isSafeInteger(Number(hit[0]))) fail(`${what} holds a number that is no integer within 2^53`);
    return Number(hit[0]);
  }
  function list(close, item) {
    if (++deep > 500) broken();
    at++; space();
    if (text[at] === close) { at++; deep--; return; }
    for (;;) {
      item(); space();
      if (text[at] === ",") { at++; space(); continue; }
      eat(close); deep--; return;
    }
  }
  function value() {
    space();
    const first = text[at];
    if (first === "{") {
      const found = new Map();
      list("}", () => {
        const key = string(); space(); eat(":");
        if (found.has(key)) fail(`${what} has the same key twice`);
        found.set(key, value());
      });
      return found;
    }
    if (first === "[") { const found = []; list("]", () => found.push(value())); return found; }
    if (first === '"') return string();
    for (const [word, meant] of [["true", true], ["false", false], ["null", null]]) if (text.startsWith(word, at)) { at += word.length; return meant; }
    return number();
  }
  const whole = value(); space();
  if (at !== text.length) broken();
  if (!(whole instanceof Map)) fail(`${what} is not a JSON object`);
  return whole;
}

const KINDS = { text: (v) => typeof v === "string", integer: (v) => typeof v === "number", object: (v) => v instanceof Map, list: Array.isArray, nothing: (v) => v === null };
function get(value, name, ...kinds) {
  const found = value.get(name);
  if (!value.has(name) || !kinds.some((kind) => KINDS[kind](found))) fail(`\`${name}\` is missing or of the wrong kind`);
  return found;
}

function unbase64(text, what, url = false) {
  const plain = url ? text.replaceAll("-", "+").replaceAll("_", "/") : text;
  let raw;
  try { raw = Uint8Array.from(atob(plain + (url ? "=".repeat((4 - text.length % 4) % 4) : "")), (c) => c.charCodeAt(0)); } catch { fail(`${what} is not base64`); }
  let again = btoa(String.fromCharCode(...raw));
  if (url) again = again.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  same(again, text, `${what} is not base64 in its one form`);
  return raw;
}

// -- the log's texts: tlog-proof, checkpoint, signed note, verifier key (C2SP), and the tree of RFC 9162 section 2.1 ---------------
const SIZE = /^(?:0|[1-9][0-9]{0,15})$/; // what a Number holds exactly, and more than a log will
function parseHead(note) {
  const [origin, size, rootText] = [...note.split("\n"), "", "", ""];
  const root = unbase64(rootText, "the checkpoint's root");
  if (!SIZE.test(size) || root.length !== 32) fail("the checkpoint has no size, or its root is not 32 bytes");
  return { origin, size: Number(size), root };
}

function parseProof(text) {
  const cut = text.indexOf("\n\n");
  const lines = (cut < 0 ? text : text.slice(0, cut)).split("\n"), note = cut < 0 ? "" : text.slice(cut + 2);
  if (lines[1]?.startsWith("extra ")) lines.splice(1, 1); // nothing authenticates it, so it is passed over
  const index = /^index (.+)$/.exec(lines[1] ?? "");
  if (lines[0] !== "c2sp.org/tlog-proof@v1" || !index || !SIZE.test(index[1]) || lines.length > 65) fail("the proof is not a tlog-proof of version 1");
  const path = lines.slice(2).map((line) => unbase64(line, "a hash in the proof"));
  if (path.some((item) => item.length !== 32)) fail("a hash in the proof is not 32 bytes");
  return { index: Number(index[1]), path, note, ...parseHead(note) };
}

async function inclusionRoot(leaf, index, size, path) {
  if (index >= size) fail("the proof is for a leaf outside of the tree");
  let fn = BigInt(index), sn = BigInt(size) - 1n, root = await sha256(join([0], leaf));
  for (const sibling of path) {
    if (sn === 0n) fail("the inclusion proof is too long");
    if (fn & 1n || fn === sn) {
      root = await sha256(join([1], sibling, root));
      while (fn && !(fn & 1n)) { fn >>= 1n; sn >>= 1n; }
    } else root = await sha256(join([1], root, sibling));
    fn >>= 1n; sn >>= 1n;
  }
  if (sn) fail("the inclusion proof is too short");
  return root;
}

async function parseVkey(text) {
  const [name, id, ...rest] = text.split("+");
  const raw = unbase64(rest.length ? rest.join("+") : id ?? name, "the log's key");
  if (!rest.length || raw.length !== 33 || raw[0] !== 1 || !name || /\s/.test(name)) fail("the log's key is not an Ed25519 verifier key");
  const keyId = (await sha256(join(utf8.encode(name + "\n"), raw))).slice(0, 4);
  same(hex(keyId), id, "the log's key does not fit the id it bears");
  return { name, keyId, public: raw.slice(1) };
}

async function checkCheckpoint(note, vkey) {
  const key = await parseVkey(vkey);
  const cut = note.lastIndexOf("\n\n"), lines = cut < 0 ? [] : note.slice(cut + 2).split("\n");
  if (lines.pop() !== "" || !lines.length || lines.length > 100 || /[\x00-\x09\x0b-\x1f]/.test(note)) fail("the checkpoint is not a signed note");
  const text = note.slice(0, cut) + "\n", mine = [];
  for (const line of lines) {
    const parts = line.split(" ");
    if (parts.length !== 3 || parts[0] !== "—") fail("a signature line of the checkpoint is not of its form");
    const raw = unbase64(parts[2], "a signature of the checkpoint");
    if (parts[1] === key.name && equal(raw.slice(0, 4), key.keyId)) mine.push(raw.slice(4));
  }
  const what = "the log's signature on the checkpoint does not hold";
  for (const signature of mine) {
    let holds = false;
    try {
      const found = await crypto.subtle.importKey("raw", key.public, { name: "Ed25519" }, false, ["verify"]);
      holds = await crypto.subtle.verify({ name: "Ed25519" }, found, signature, utf8.encode(text));
    } catch (error) {
      if (error.name === "NotSupportedError") fail("this browser cannot check Ed25519 signatures: use a newer one, or `sayso verify`");
    }
    if (!holds) fail(what);
  }
  if (!mine.length) fail(`the checkpoint bears no signature by the key of ${key.name}`);
  same(text.split("\n")[0], key.name, "the checkpoint is of another log than its key");
  return key.name;
}

// -- the steps ----------------------------------------------------------------------------------------------------------------
function form(value, kind) {
  if (get(value, "v", "integer") !== 1 || get(value, "type", "text") !== kind) fail(`this is not a ${kind} of version 1`);
}

const asObject = (value) => (value instanceof Map ? value : fail("a list holds something that is not an object"));

// What an act says of how it is known to be the person's: a recording by who attested the consent, any other by its capability.
function evidenceOf(act) {
  if (act.get("type") === "contribution.recorded") {
    const consent = act.get("consent") ?? null;
    const attested = consent === null ? "platform" : get(asObject(consent), "attested_by", "text");
    return attested === "person" ? "widget" : attested;
  }
  if (!act.has("capability")) return "capability"; // acts of before, which only a receipt could do, do not name it
  const capability = get(act, "capability", "text");
  return capability === "receipt" ? "capability" : capability;
}

// What a person's passkey signed (WebAuthn): that it signed this very act, and that the person was there.
async function checkPasskey(act, named) {
  const found = get(act, "passkey", "object"), jwk = get(found, "key", "object"), what = "the passkey's signature";
  const kind = get(jwk, "kty", "text");
  const wanted = kind === "RSA" ? ["e", "kty", "n"] : kind === "EC" && jwk.get("crv") === "P-256" ? ["crv", "kty", "x", "y"]
    : kind === "OKP" && jwk.get("crv") === "Ed25519" ? ["crv", "kty", "x"] : fail("the key is neither Ed25519, P-256 nor RSA");
  const members = Object.fromEntries(wanted.map((name) => [name, get(jwk, name, "text")]));
  for (const name of wanted.filter((one) => one.length === 1)) {
    const raw = unbase64(members[name], "the key", true);
    if (kind !== "RSA" && raw.length !== 32) fail("the key has not its length");
  }
  const print = unbase64(get(found, "thumbprint", "text"), "the thumbprint", true);
  if (!equal(await sha256(utf8.encode(JSON.stringify(members))), print)) fail("the passkey is another than the act names");
  same(named, found.get("thumbprint"), "the passkey is another than the evidence names");
  const text = get(found, "text", "text"), asked = parse(text, "what was signed");
  form(asked, "sayso-passkey-act");
  const raw = unbase64(get(found, "client_data", "text"), what, true), data = unbase64(get(found, "authenticator_data", "text"), what, true);
  let clientText;
  try { clientText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw); } catch { fail("what the browser signed is not JSON"); }
  const client = parse(clientText, "what the browser signed"), site = get(asked, "service", "text");
  same(get(client, "type", "text"), "webauthn.get", "the passkey was not used to sign");
  same(get(client, "origin", "text"), site, "the passkey was used on another site");
  const over = unbase64(get(client, "challenge", "text"), what, true);
  if (!equal(over, await sha256(utf8.encode(text)))) fail("the passkey signed another text");
  let host;
  try { host = new URL(site).hostname; } catch { fail("the site is no address"); }
  if (data.length < 37 || !equal(data.slice(0, 32), await sha256(utf8.encode(host)))) fail("the passkey is of another site");
  if (!(data[32] & 1) || !(data[32] & 4)) fail("the device did not check that it was the person");
  const algorithm = { OKP: { name: "Ed25519" }, EC: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }, RSA: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } }[kind];
  let signature = unbase64(get(found, "signature", "text"), what, true), holds = false;
  if (kind === "EC") signature = fromDer(signature) ?? fail(`${what} does not hold`);
  try {
    const key = await crypto.subtle.importKey("jwk", members, algorithm, false, ["verify"]);
    holds = await crypto.subtle.verify(algorithm, key, signature, join(data, await sha256(raw)));
  } catch { /* no key of that kind: it does not hold */ }
  if (!holds) fail(`${what} does not hold`);
  // Whatever was signed stands in the act as it was signed. Terms were signed before it was known whether they are the first.
  // Several contributions at once are named by digests with the nonce: the receipt of one does not tell which the others are.
  const signed = get(asked, "act", "object"), nonce = get(asked, "nonce", "text");
  const type = act.get("type") === "consent.given" ? "consent.scoped" : act.get("type");
  same(get(signed, "type", "text"), type, "the passkey signed an act of another kind");
  for (const [name, value] of signed) {
    if (name === "contributions") {
      const veiled = hex(await sha256(utf8.encode(nonce + get(act, "contribution", "text"))));
      if (!Array.isArray(value) || !value.includes(veiled)) fail("the passkey signed something about other contributions");
    } else if (name !== "type" && !(act.has(name) && alike(act.get(name), value))) fail("the passkey signed something other than the act says");
  }
}

function alike(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => alike(one, b[i]));
  if (a instanceof Map && b instanceof Map) return a.size === b.size && [...a].every(([name, one]) => b.has(name) && alike(one, b.get(name)));
  return a === b;
}

// An ECDSA signature of P-256 as WebCrypto takes it: two numbers of 32 bytes, out of their DER. Null where it is none.
function fromDer(raw) {
  const out = new Uint8Array(64);
  let at = 2;
  if (raw[0] !== 0x30 || raw[1] !== raw.length - 2) return null;
  for (const end of [32, 64]) {
    const long = raw[at + 1];
    const number = raw.slice(at + 2, at + 2 + long);
    const short = number[0] === 0 && long > 1 ? number.slice(1) : number;
    if (raw[at] !== 2 || number.length !== long || !long || number[0] > 127 || (number[0] === 0 && long > 1 && number[1] < 128) || short.length > 32) return null;
    out.set(short, end - short.length);
    at += 2 + long;
  }
  return at === raw.length ? out : null;
}

// A CBOR head in its shortest form (RFC 8949 section 4.2.1), and a byte string.
function head(major, n) {
  if (n < 24) return [major << 5 | n];
  const width = [0, 1, 2, 3].find((one) => BigInt(n) < 1n << BigInt(8 << one));
  const digits = Array.from({ length: 1 << width }, (_, i) => Number(BigInt(n) >> BigInt(8 * ((1 << width) - 1 - i)) & 255n));
  return [major << 5 | 24 + width, ...digits];
}
const octets = (bytes) => join(head(2, bytes.length), bytes);

// All of a COSE receipt but its signature follows from the proof beside it: these bytes are written and compared.
async function checkCose(text, proof, key) {
  const raw = unbase64(text, "the COSE receipt");
  const keyed = join([0xa3, 1, 0x32, 4], octets(utf8.encode(`${key.name}+${hex(key.keyId)}`)), [0x19, 1, 0x8b, 1]);
  const path = proof.path.map(octets);
  const inner = join([0x83], head(0, proof.size), head(0, proof.index), head(4, path.length), ...path);
  const front = join([0xd2, 0x84], octets(keyed), [0xa1, 0x19, 1, 0x8c, 0xa1, 0x20, 0x81], octets(inner), [0xf6], head(2, 64));
  if (raw.length !== front.length + 64 || !equal(raw.slice(0, front.length), front)) fail("the COSE receipt is not of the proof in this file");
  const signed = join([0x84], head(3, 10), utf8.encode("Signature1"), octets(keyed), octets([]), octets(proof.root));
  const found = await crypto.subtle.importKey("raw", key.public, { name: "Ed25519" }, false, ["verify"]);
  if (!await crypto.subtle.verify({ name: "Ed25519" }, found, raw.slice(-64), signed)) fail("the log's signature on the COSE receipt does not hold");
}

function checkConsent(found, act, proof) {
  if (get(act, "type", "text") !== "contribution.recorded") fail("a consent receipt stands beside an act that is no recording");
  const one = get(act, "contribution", "text"), given = act.get("consent") ?? null;
  same(get(found, "dct:identifier", "text"), act.get("act"), "the consent receipt is of another act");
  if (!get(found, "@id", "text").endsWith(`/v1/contributions/${one}/receipt`)) fail("the consent receipt is of another contribution");
  const events = [];
  for (const record of get(found, "dpv:hasRecordOfActivity", "list").map(asObject)) {
    for (const event of get(record, "dpv:hasConsentStatus", "list").map(asObject)) {
      const source = event.has("dct:source") ? get(event, "dct:source", "object") : new Map();
      if (source.get("dct:identifier") !== act.get("act")) continue;
      same(get(record, "dct:subject", "text"), one, "the consent receipt tells of this act under another contribution");
      events.push([event, source]);
    }
  }
  if (events.length !== (given === null ? 0 : 1)) fail("the consent receipt does not tell of this act's consent once");
  for (const [event, source] of events) {
    same(get(event, "odrl:hasPolicy", "text"), asObject(given).get("policy"), "the consent receipt names another policy than the act");
    if (proof) same(get(source, "sayso:logIndex", "integer"), proof.index, "the consent receipt names another place in the log");
  }
}

async function receipt(text, vkey, step) {
  let file, act, actText, leaf;
  await step("act matches its digest", async () => {
    file = parse(text, "the file");
    form(file, "sayso-receipt");
    actText = get(file, "act", "text");
    act = parse(actText, "the act");
    same(hex(await sha256(utf8.encode(actText))), get(file, "payload_sha256", "text"), "the act is not the text of its digest");
    same(get(act, "v", "integer"), 1, "the act is of a version this verifier does not know");
    const evidence = get(get(file, "evidence", "object"), "kind", "text");
    same(evidence, evidenceOf(act), "the evidence is not of the kind that the act itself names");
    if (evidence === "passkey") await checkPasskey(act, get(get(file, "evidence", "object"), "key", "text"));
    return `${get(act, "type", "text")} ${get(act, "act", "text")} at ${get(act, "at", "text")}, evidence ${evidence}`;
  });
  await step("leaf commits to the act", async () => {
    leaf = unbase64(get(file, "leaf", "text"), "the leaf");
    let leafText;
    try { leafText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(leaf); } catch { fail("the leaf is not JSON"); }
    const body = parse(leafText, "the leaf");
    form(body, "act");
    if ((file.get("salt") ?? null) === null) fail("the file has no salt, so nothing ties the act to the leaf; a claimed receipt has it");
    const salt = unbase64(get(file, "salt", "text"), "the salt", true);
    const committed = unbase64(get(body, "commitment", "text"), "the commitment", true);
    if (salt.length !== 32) fail("the leaf's commitment is to another act");
    const key = await crypto.subtle.importKey("raw", salt, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const message = join(utf8.encode("sayso/act/v1\u0000"), await sha256(utf8.encode(actText)));
    const wanted = new Uint8Array(await crypto.subtle.sign("HMAC", key, message));
    if (!equal(wanted, committed)) fail("the leaf's commitment is to another act");
    same(get(body, "id", "text"), act.get("act"), "the leaf has another act id");
    same(get(body, "day", "text"), act.get("at").slice(0, 10), "the leaf has another day");
  });
  let proof;
  await step("leaf is in the log", async () => {
    const found = get(file, "tlog_proof", "text", "nothing");
    get(file, "vkey", "text");
    if (found === null) return null;
    proof = parseProof(found);
    const root = await inclusionRoot(leaf, proof.index, proof.size, proof.path);
    if (!equal(root, proof.root)) fail("the proof leads to another root");
    return `index ${proof.index} of ${proof.size}`;
  }, "not yet under a checkpoint: fetch the file again in a few seconds");
  if (proof) await step("checkpoint is signed by the log", async () => {
    const key = vkey || file.get("vkey");
    const whose = vkey ? "the key you gave" : "the file's own key: compare it with one from elsewhere";
    return `${await checkCheckpoint(proof.note, key)}, ${whose} (${key})`;
  });
  await step("policy is the one consented to", async () => {
    const own = typeof act.get("consent") === "string"; // a later choice of terms: the act itself is the consent it names
    const consent = act.has("consent") && !own ? get(act, "consent", "object", "nothing") : act;
    const policy = get(file, "policy", "object", "nothing");
    const digest = policy && hex(await sha256(utf8.encode(get(policy, "text", "text"))));
    same(digest, policy && get(policy, "digest", "text"), "the policy is not the text of its digest");
    same(digest, consent?.get("policy") ?? null, "the policy is not the one the act names");
    const wording = get(file, "wording", "object", "nothing");
    const shown = wording && JSON.stringify([get(wording, "sha256", "text"), get(wording, "language", "text", "nothing")]);
    const named = consent?.get("wording") ?? null;
    same(shown, named === null ? null : JSON.stringify([named, consent.get("language") ?? null]), "the wording is not the one the act names");
    return digest ?? "the act names no policy";
  });
  await step("record id seed belongs to the act", async () => {
    const seed = get(file, "rid_seed", "text", "nothing"), bound = act.get("rid_seed_sha256") ?? null;
    const raw = seed === null ? null : unbase64(seed, "the seed", true);
    if (raw && raw.length !== 32) fail("the seed is not 32 bytes");
    same(raw && hex(await sha256(raw)), bound, "the seed is not the one the act binds");
    return bound ? "" : "the act has no record id";
  });
  await step("COSE receipt is the same proof", async () => {
    if ((file.get("cose") ?? null) === null) return "the file has none";
    if (!proof) fail("the file has a COSE receipt and no proof that it could be of");
    await checkCose(get(file, "cose", "text"), proof, await parseVkey(vkey || file.get("vkey")));
    return "";
  });
  await step("consent receipt is of this act", async () => {
    if ((file.get("consent_receipt") ?? null) === null) return "the file has none";
    checkConsent(get(file, "consent_receipt", "object"), act, proof);
    return "this act, its contribution and its policy; whatever else it tells is the service's word and was not checked";
  });
}

// What each step found, and in all: "holds", "fails" or "waits" (not yet under a checkpoint of the log).
async function verifyReceipt(text, vkey) {
  const steps = [];
  const step = async (name, work, waiting) => {
    try {
      const detail = await work();
      steps.push({ name, ok: detail === null ? null : true, detail: detail === null ? waiting : detail ?? "" });
    } catch (error) {
      const why = error instanceof Failed ? error.message : "it is not of the form that could be checked";
      steps.push({ name, ok: false, detail: why });
      throw new Failed(why);
    }
  };
  try { await receipt(text, vkey, step); } catch { return { verdict: "fails", steps }; }
  return { verdict: steps.some((one) => one.ok === null) ? "waits" : "holds", steps };
}

// -- the page -----------------------------------------------------------------------------------------------------------------
// Why a step failed is told in English, in the words of `sayso verify`; what was looked at and the verdict in the page's language.
function show(found) {
  const list = document.getElementById("steps");
  list.replaceChildren(...found.steps.map((one) => {
    const item = document.createElement("li"), told = document.createElement("strong");
    told.append(words(one.ok === true ? "right" : one.ok === null ? "waiting" : "wrong"));
    item.append(told, " ", words(one.name));
    if (one.detail) item.append(". ", Object.assign(document.createElement("span"), { lang: "en", dir: "ltr", textContent: one.detail }));
    return item;
  }));
  document.getElementById("verdict").replaceChildren(words(found.verdict));
  document.getElementById("found").hidden = false;
}

document.getElementById("check").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = document.getElementById("file").files;
  if (!file) return;
  const text = file.size > 4e6 ? "" : new TextDecoder().decode(await file.arrayBuffer());
  show(await verifyReceipt(text, document.getElementById("vkey").value.trim()));
});
document.getElementById("check").hidden = false;
document.getElementById("without").hidden = true;
