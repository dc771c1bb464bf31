"use strict";
// The table of objects: columns from the embedded JSON, only one page of rows in the document.
(() => {
  const tables = JSON.parse(document.getElementById("tables-data").textContent);
  const element = document.getElementById("objects");
  if (!element || !tables.length) return;
  const byId = (id) => document.getElementById(id);
  const state = { table: 0, page: 0, size: 25, sort: null, down: false, filters: {}, rows: [], found: null };
  const current = () => tables[state.table];

  const range = (text) => {
    const limits = /^(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)$/.exec(text);
    if (limits) return (v) => v !== null && v >= +limits[1] && v <= +limits[2];
    const one = /^(<=|>=|<|>|=)?\s*(-?[\d.]+)$/.exec(text);
    if (!one) return () => false;
    const limit = +one[2];
    const tests = {
      "<": (v) => v < limit, ">": (v) => v > limit, "<=": (v) => v <= limit, ">=": (v) => v >= limit,
    };
    const test = tests[one[1]] || ((v) => v === limit);
    return (v) => v !== null && test(v);
  };

  const select = () => {
    const { columns, values } = current();
    const length = values[columns[0][0]].length;
    const tests = columns
      .filter(([key]) => state.filters[key])
      .map(([key, , kind]) => {
        const text = state.filters[key].trim().toLowerCase();
        const column = values[key];
        if (kind === "number") {
          const test = range(text);
          return (n) => test(column[n]);
        }
        return (n) => String(column[n] ?? "").toLowerCase().includes(text);
      });
    const rows = [];
    for (let n = 0; n < length; n += 1) if (tests.every((test) => test(n))) rows.push(n);
    if (state.sort !== null) {
      const column = values[state.sort];
      const sign = state.down ? -1 : 1;
      // What is empty stays at the end, whichever way the rest is sorted.
      rows.sort((a, b) => {
        const x = column[a], y = column[b];
        if (x === null || y === null) return (x === null) - (y === null);
        return x < y ? -sign : x > y ? sign : a - b;
      });
    }
    state.rows = rows;
  };

  const head = () => {
    const { columns } = current();
    const names = document.createElement("tr");
    const filters = document.createElement("tr");
    for (const [key, title, kind] of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.dataset.key = key;
      if (kind === "number") cell.className = "n";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.addEventListener("click", () => {
        state.down = state.sort === key ? !state.down : false;
        state.sort = key;
        state.page = 0;
        update();
      });
      cell.append(button);
      names.append(cell);
      const place = document.createElement("td");
      const input = document.createElement("input");
      input.setAttribute("aria-label", `Filter ${title}`);
      input.placeholder = kind === "number" ? ">0" : "filter";
      input.dataset.key = key;
      input.addEventListener("input", () => {
        state.filters[key] = input.value;
        state.page = 0;
        update();
      });
      place.append(input);
      filters.append(place);
    }
    element.tHead.replaceChildren(names, filters);
  };

  const body = () => {
    const { columns, values } = current();
    const rows = state.rows.slice(state.page * state.size, (state.page + 1) * state.size);
    const made = rows.map((n) => {
      const row = document.createElement("tr");
      if (n === state.found) row.className = "found";
      for (const [key, , kind] of columns) {
        const cell = document.createElement("td");
        const value = values[key][n];
        cell.textContent = value === null ? "–" : value;
        if (kind === "number") cell.className = "n";
        row.append(cell);
      }
      return row;
    });
    element.tBodies[0].replaceChildren(...made);
  };

  const update = () => {
    select();
    const pages = Math.max(1, Math.ceil(state.rows.length / state.size));
    state.page = Math.min(state.page, pages - 1);
    body();
    for (const cell of element.tHead.rows[0].cells) {
      const own = cell.dataset.key === state.sort;
      cell.setAttribute("aria-sort", own ? (state.down ? "descending" : "ascending") : "none");
      const title = current().columns.find(([key]) => key === cell.dataset.key)[1];
      cell.firstChild.textContent = title + (own ? (state.down ? " ▼" : " ▲") : "");
    }
    const total = current().values[current().columns[0][0]].length;
    byId("row-count").textContent = `${state.rows.length} of ${total} ${byId("row-count").dataset.things}`;
    byId("page-where").textContent = `page ${state.page + 1} of ${pages}`;
    byId("page-back").disabled = state.page === 0;
    byId("page-on").disabled = state.page >= pages - 1;
  };

  const choose = (number) => {
    Object.assign(state, { table: number, page: 0, sort: null, down: false, filters: {}, found: null });
    byId("table-choice").value = String(number);
    head();
    update();
  };

  const find = (wanted) => {
    choose(0);
    const { values } = current();
    // A table of one class or without a series has no such column.
    const same = (n) => ["field", "class", "time", "id"].every(
      (key) => !(key in values) || String(values[key][n] ?? "") === wanted[key]);
    const row = state.rows.findIndex(same);
    if (row < 0) return;
    state.found = state.rows[row];
    state.page = Math.floor(row / state.size);
    update();
    element.querySelector("tr.found").scrollIntoView({ block: "center" });
  };

  byId("table-choice").addEventListener("change", (event) => choose(+event.target.value));
  byId("page-size").addEventListener("change", (event) => {
    state.size = +event.target.value;
    state.page = 0;
    update();
  });
  byId("clear-filters").addEventListener("click", () => choose(state.table));
  byId("page-back").addEventListener("click", () => { state.page -= 1; update(); });
  byId("page-on").addEventListener("click", () => { state.page += 1; update(); });
  for (const button of document.querySelectorAll("button.find")) {
    button.addEventListener("click", () => find({ ...button.dataset }));
  }
  choose(0);
})();
