"use strict";
// Theme, tooltips, linked crosshairs, and what printing needs.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);
  show();

  const tip = document.getElementById("tip");
  const place = (x, y) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 6))}px`;
    tip.style.top = `${y + box.height + 20 > innerHeight ? y - box.height - 10 : y + 14}px`;
  };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.hidden = !mark;
    if (mark) {
      tip.textContent = mark.dataset.tip;
      place(event.clientX, event.clientY);
    }
  });

  for (const triplet of document.querySelectorAll(".triplet")) {
    const panels = [...triplet.querySelectorAll(".panel")];
    const crosses = panels.map((panel) => panel.querySelector(".cross"));
    triplet.addEventListener("pointermove", (event) => {
      const panel = event.target.closest(".panel");
      if (!panel) return;
      const box = panel.querySelector("img").getBoundingClientRect();
      const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      panels.forEach((other, k) => {
        const own = other.querySelector("img").getBoundingClientRect();
        const outer = other.getBoundingClientRect();
        crosses[k].hidden = other === panel;
        crosses[k].style.left = `${own.left - outer.left + share[0] * own.width}px`;
        crosses[k].style.top = `${own.top - outer.top + share[1] * own.height}px`;
      });
    });
    triplet.addEventListener("pointerleave", () => crosses.forEach((c) => { c.hidden = true; }));
  }

  // On paper nothing can be opened: what is folded is printed open, and folded again after.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((part) => { part.open = false; }));
})();
