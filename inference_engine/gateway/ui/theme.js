// Light or dark: the system's choice, or the one made here. Not a module, so that it runs before the page is painted.
"use strict";

{
  const THEME = "inference-engine-theme";
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  const choose = (name) => { document.documentElement.dataset.theme = name; };

  const chosen = localStorage.getItem(THEME);
  if (chosen) choose(chosen);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const offer = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    offer();
    prefersDark.addEventListener("change", offer);
    button.addEventListener("click", () => {
      choose(isDark() ? "light" : "dark");
      localStorage.setItem(THEME, document.documentElement.dataset.theme);
      offer();
    });
  });
}
