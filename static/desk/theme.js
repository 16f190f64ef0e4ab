// Theme before the first paint. Same storage key and attribute as Django's admin, so both follow one switch.
"use strict";
(() => {
  const stored = () => localStorage.getItem("theme") || "auto";
  const apply = (theme) => { document.documentElement.dataset.theme = theme; };
  apply(stored());
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = stored() === "auto" ? (dark ? "dark" : "light") : stored();
    const next = now === "dark" ? "light" : "dark";
    localStorage.setItem("theme", next);
    apply(next);
  });
  addEventListener("storage", (event) => { if (event.key === "theme") apply(stored()); });
})();
