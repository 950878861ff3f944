// <sayso-consent site="stk_…" name="intent"></sayso-consent>. Its words come from Sayso alone.
(() => {
  "use strict";
  const HOME = new URL(".", document.currentScript.src).href;
  const CLAIM = /^c\/[0-9a-z]{28,80}$/;
  const FRESH = 20 * 3600e3; // an intent lives for 24 hours
  const SETTLE = 250; // of arrow keys the last counts
  let passing; // a submit event of our own

  const style = new CSSStyleSheet(); // a <style> the page's policy would have to allow
  style.replaceSync(`
    :host { display: block; font: var(--sayso-font, inherit); color: var(--sayso-color, inherit); }
    :host([hidden]) { display: none; }
    fieldset { overflow-wrap: anywhere; margin: 0; min-width: 0; border: 1px solid var(--sayso-border, currentColor); border-radius: var(--sayso-radius, .5rem);
      padding: var(--sayso-gap, .8rem); background: var(--sayso-background, transparent); }
    legend { font-weight: 600; padding: 0 .3rem; }
    .choice { display: grid; grid-template-columns: auto 1fr; gap: 0 .6rem; margin: var(--sayso-gap, .8rem) 0; unicode-bidi: isolate; }
    .choice > :not(input) { grid-column: 2; }
    input { grid-row: 1; width: 1.5rem; height: 1.5rem; margin: 0; accent-color: var(--sayso-accent, auto); }
    label { font-weight: 600; line-height: 1.5rem; cursor: pointer; }
    p { margin: .2rem 0; white-space: pre-line; }
    a { color: var(--sayso-accent, inherit); display: inline-block; min-height: 1.5rem; }
    :focus-visible { outline: 3px solid var(--sayso-accent, currentColor); outline-offset: 2px; }
    .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }`);

  const ask = async (path, body) => {
    const more = body && { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const quiet = { credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(8000) };
    const answer = await fetch(`${HOME}v1/widget/${path}`, { ...quiet, ...more });
    if (!answer.ok) throw new Error();
    return answer.json();
  };
  const make = (name, fields = {}, ...inside) => {
    const one = Object.assign(document.createElement(name), fields);
    one.append(...inside);
    return one;
  };
  const leading = (href, fields, ...inside) => make("a", { href, target: "_blank", rel: "noopener noreferrer", ...fields }, ...inside);
  // Without storage the person chooses each time.
  const remembered = (site, policy) => {
    try {
      if (policy) localStorage.setItem(`sayso-consent/${site}`, policy);
      return localStorage.getItem(`sayso-consent/${site}`);
    } catch { return null; }
  };

  class SaysoConsent extends HTMLElement {
    static formAssociated = true;
    static observedAttributes = ["site", "lang", "claim", "required"];
    #inner = this.attachInternals();
    #root = this.attachShadow({ mode: "open", delegatesFocus: true });
    #status = make("p", { role: "status" });
    #told; // what is offered
    #choice; // what is marked
    #ready; // an intent that no record has yet
    #making; // one that is on its way
    #timer;
    #busy;

    get form() { return this.#inner.form; }
    get name() { return this.getAttribute("name"); }
    get value() { return this.#ready?.intent ?? ""; }
    get claim() { return this.getAttribute("claim"); }
    set claim(link) { link ? this.setAttribute("claim", link) : this.removeAttribute("claim"); }

    // An intent for one record: null where nothing is chosen, or Sayso is away. Each is given once.
    take() {
      return (this.#line = this.#line.then(async () => {
        await this.#prepare();
        const made = this.#ready;
        this.#ready = null;
        return made?.intent ?? null;
      }).catch(() => null));
    }
    #line = Promise.resolve(); // loading, and what is taken, one after the other

    connectedCallback() {
      this.#root.adoptedStyleSheets = [style];
      const { claim } = this; // may have been set before this script was there
      if (delete this.claim && claim) this.claim = claim;
      this.#line = this.#load();
    }

    attributeChangedCallback(name, before, now) {
      if (!this.isConnected || before === now) return;
      if (name === "site") this.#line = this.#load();
      else this.#draw();
    }

    formAssociatedCallback(form) {
      this.#listening?.removeEventListener("submit", this, true);
      this.#listening = form;
      form?.addEventListener("submit", this, true);
    }
    #listening;

    formDisabledCallback() { this.#draw(); }

    // The form is sent: see that an intent goes along. Without an answer it goes without; no work is lost.
    async handleEvent(event) {
      if (passing || !this.#choice) return;
      if (this.#sound()) return void (this.#ready = null); // the next time it needs another
      event.preventDefault();
      event.stopImmediatePropagation();
      if (this.#busy) return; // pressed twice
      this.#busy = true;
      const by = event.submitter, { form } = this, all = [...form.elements].map((e) => e instanceof SaysoConsent && e.take());
      await Promise.all([...all, new Promise(setTimeout)]); // within its own event none is sent
      this.#busy = false;
      passing = true;
      try { form.requestSubmit(by?.form === form ? by : null); } finally { passing = false; }
    }

    async #load() {
      const site = this.getAttribute("site");
      this.#told = this.#choice = this.#ready = null;
      this.#inner.setFormValue(null);
      if (!/^stk_[0-9a-z]{26}$/.test(site)) return this.#draw();
      try {
        const told = await ask(site);
        if (this.getAttribute("site") !== site) return;
        this.#told = told;
        const before = remembered(site);
        this.#choice = told.choices.find((one) => one.policy === before) ?? null;
        this.#draw();
        if (this.#choice) this.#say("again");
      } catch {
        this.#draw();
        this.#status.replaceChildren(make("span", { lang: "en" }, "The choices could not be loaded. Load the page again later."));
      }
    }

    // The element's, the page's around it, or the person's; the first there is if none is known.
    get #language() {
      const known = Object.keys(this.#told.languages);
      for (let tag of [this.closest("[lang]")?.lang, ...navigator.languages, "en"]) {
        for (tag = (tag ?? "").toLowerCase(); tag; tag = tag.replace(/-?[^-]*$/, "")) {
          const found = known.find((one) => one.toLowerCase() === tag);
          if (found) return found;
        }
      }
      return known[0];
    }

    // In a language that no native reader has reviewed the English goes along.
    #words(word) {
      const { words, beside } = this.#told.languages[this.#language];
      return beside ? [words[word], " ", make("span", { lang: "en", dir: "ltr" }, beside[word])] : [words[word]];
    }

    #say(word) { this.#status.replaceChildren(...this.#words(word)); }

    #draw() {
      if (!this.#told) return this.#root.replaceChildren(this.#status);
      const lang = this.#language, { dir, spoken } = this.#told.languages[lang];
      const box = make("fieldset", { lang: spoken, dir, disabled: this.matches(":disabled"), part: "box" }, make("legend", {}, ...this.#words("ask")));
      this.#told.choices.forEach((choice, at) => {
        const [first, ...rest] = choice.shown[lang].text.split("\n");
        const radio = make("input", { type: "radio", name: "choice", id: `c${at}`, checked: choice === this.#choice });
        radio.addEventListener("change", () => this.#choose(choice));
        const row = make("div", { className: "choice", part: "choice", lang, dir }, radio, make("label", { htmlFor: radio.id }, first));
        if (rest.length) {
          row.append(make("p", { id: `t${at}` }, rest.join("\n")));
          radio.setAttribute("aria-describedby", `t${at}`);
        }
        const more = make("span", { className: "unseen", lang }, `: ${first}`);
        row.append(leading(choice.terms, { lang: spoken }, ...this.#words("terms"), more));
        box.append(row);
      });
      box.append(this.#status);
      const link = this.claim ?? "";
      if (link.startsWith(HOME) && CLAIM.test(link.slice(HOME.length))) {
        box.append(make("p", {}, leading(link, { part: "claim" }, ...this.#words("claim"))), make("p", {}, ...this.#words("keep")));
      }
      this.#root.replaceChildren(box);
      const valueMissing = this.hasAttribute("required") && !this.#choice;
      this.#inner.setValidity({ valueMissing }, make("p", {}, ...this.#words("choose")).textContent, box.querySelector("input"));
    }

    #choose(choice) {
      this.#choice = choice;
      this.#ready = this.#making = null;
      this.#inner.setFormValue(null);
      this.#inner.setValidity({});
      remembered(this.#told.site, choice.policy);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#prepare(), SETTLE);
    }

    #sound() { return this.#ready && Date.now() - this.#ready.at < FRESH; }

    // See that there is an intent for what is marked.
    async #prepare() {
      clearTimeout(this.#timer);
      while (this.#choice && !this.#sound()) {
        const making = (this.#making ??= this.#obtain(this.#choice)), made = await making;
        if (this.#making !== making) continue; // another was chosen meanwhile
        this.#making = null;
        this.#ready = made;
        this.#inner.setFormValue(made?.intent ?? null);
        this.#say(made ? "kept" : "lost");
        if (!made) return;
        const { at, ...detail } = made;
        this.dispatchEvent(new CustomEvent("sayso-consent", { bubbles: true, composed: true, detail }));
      }
    }

    async #obtain(choice) {
      try {
        return { at: Date.now(), ...(await ask(`${this.#told.site}/intents`, { wording: choice.shown[this.#language].wording })) };
      } catch { return null; }
    }
  }
  customElements.get("sayso-consent") ?? customElements.define("sayso-consent", SaysoConsent);
})();
