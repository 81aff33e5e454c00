"use strict";
// How much of a large file is sent: forms with data-progress name where it is shown. Without this the form works, too.

(() => {
  const shownOf = (event) => document.getElementById(event.target.closest?.("form[data-progress]")?.dataset.progress);
  const size = (bytes) => `${(bytes / 1024 ** 2).toLocaleString("en", { maximumFractionDigits: 0 })} MiB`;

  document.addEventListener("htmx:beforeRequest", (event) => {
    const shown = shownOf(event);
    if (shown) shown.hidden = false;
  });
  document.addEventListener("htmx:xhr:progress", (event) => {
    const shown = shownOf(event), { lengthComputable, loaded, total } = event.detail;
    if (!shown || !lengthComputable) return;
    const bar = shown.querySelector("progress"), words = shown.querySelector("span");
    bar.max = total;
    bar.value = loaded;
    if (loaded >= total) bar.removeAttribute("value"); // it is looked through, which takes what it takes
    words.textContent = loaded < total ? `${size(loaded)} of ${size(total)}` : "being looked through";
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const shown = shownOf(event);
    if (shown && !event.detail.successful) shown.hidden = true;
  });
})();
