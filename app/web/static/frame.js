// Hands the choice over to the page around this frame, where that listens. The frame stands in pages of the site key's origins only,
// since the browser shows it in no others; and what is handed over opens nothing but the one record that the platform sends.
"use strict";
if (window.parent !== window) {
  const around = location.ancestorOrigins?.[0] ?? "*";
  window.parent.postMessage({ type: "sayso-consent", ...JSON.parse(document.currentScript.dataset.made) }, around);
}
