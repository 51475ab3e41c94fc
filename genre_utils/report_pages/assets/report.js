"use strict";
(() => {
  // A page from the file system may be denied storage; the report works without it.
  const kept = (name, value) => {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch { /* not kept */ }
    return null;
  };
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  let theme = themes.includes(kept("theme")) ? kept("theme") : "auto";
  const paint = () => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  paint();

  document.addEventListener("DOMContentLoaded", () => {
    const themeButton = document.getElementById("theme");
    const nameTheme = () => { themeButton.textContent = theme[0].toUpperCase() + theme.slice(1);
      themeButton.setAttribute("aria-label", `Theme: ${theme}`); };
    nameTheme();
    themeButton.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      kept("theme", theme);
      paint();
      nameTheme();
    });

    const menu = document.getElementById("menu");
    const narrow = matchMedia("(max-width: 63rem)");
    const fold = () => { menu.open = !narrow.matches; };
    fold();
    narrow.addEventListener("change", fold);
    menu.addEventListener("click", (event) => {
      if (narrow.matches && event.target.closest("a")) menu.open = false;
    });

    const codeButton = document.getElementById("all-code");
    if (codeButton) {
      codeButton.addEventListener("click", () => {
        const open = codeButton.getAttribute("aria-pressed") !== "true";
        document.querySelectorAll("details.code").forEach((cell) => { cell.open = open; });
        codeButton.setAttribute("aria-pressed", open);
        codeButton.textContent = open ? "Hide code" : "Show code";
      });
    }

    const filter = document.getElementById("filter");
    if (filter) {
      const tables = [...document.querySelectorAll("details.runs")];
      const rows = tables.flatMap((table) => [...table.querySelectorAll("tbody tr")]);
      const texts = rows.map((row) => [...row.cells].map((c) => c.textContent).join(" ").toLowerCase());
      filter.addEventListener("input", () => {
        const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        rows.forEach((row, i) => {
          row.hidden = !words.every((word) => texts[i].includes(word));
          shown += !row.hidden;
        });
        tables.forEach((table) => {
          if (words.length) table.open = Boolean(table.querySelector("tbody tr:not([hidden])"));
        });
        document.getElementById("matches").textContent = words.length ? `${shown} of ${rows.length} rows` : "";
      });
    }
  });
})();
