// Makes a passkey, or has one sign, and sends the page's own form with what came of it. It talks to nobody else: the page's content
// security policy lets it connect to nothing.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const keys = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

async function make({ nonce, options }) {
  const publicKey = {
    ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: keys(options.excludeCredentials),
  };
  const { response } = await navigator.credentials.create({ publicKey });
  return { nonce, client_data: text(response.clientDataJSON), attestation: text(response.attestationObject) };
}

async function show({ nonce, options }) {
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: keys(options.allowCredentials) };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return {
    nonce, id: text(rawId), client_data: text(response.clientDataJSON), authenticator_data: text(response.authenticatorData),
    signature: text(response.signature),
  };
}

// What is to be signed came behind the address, where no server sees it: it goes on in a form, and out of the address.
const begun = document.querySelector("form[data-fragment]");
if (begun) {
  begun.elements.namedItem("ask").value = new URLSearchParams(location.hash.slice(1)).get("ask") ?? "";
  history.replaceState(null, "", location.pathname);
  begun.submit();
}

const form = document.querySelector("form[data-make], form[data-ask]");
if (form && window.PublicKeyCredential) {
  const { make: wanted, ask } = form.dataset, failed = document.getElementById("failed");
  const field = form.elements.namedItem(wanted ? "made" : "passkey");
  form.hidden = false;
  document.getElementById("without").hidden = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    failed.hidden = true;
    try {
      field.value = JSON.stringify(wanted ? await make(JSON.parse(wanted)) : await show(JSON.parse(ask)));
    } catch {
      failed.hidden = false;
      return;
    }
    if (form.dataset.copy === undefined) HTMLFormElement.prototype.submit.call(form);
    else {
      document.getElementById("signed").hidden = false;
      document.getElementById("answer").textContent = field.value;
      field.value = "";
    }
  });
}
