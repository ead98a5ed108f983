"use strict";
/* Search and sort of the table of entities. Strings go in as text, never as HTML. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("table"), body = table.tBodies[0];
  const search = document.getElementById("search"), kind = document.getElementById("kind");
  const found = document.getElementById("found"), more = document.getElementById("more");
  const heads = [...table.tHead.rows[0].cells];
  const names = Object.fromEntries(heads.map((head) => [head.dataset.column, head.textContent]));
  const STEP = 50, collator = new Intl.Collator(document.documentElement.lang);
  const number = new Intl.NumberFormat("en");
  let column = 2, down = true, limit = STEP, rows = data.rows;

  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const keys = data.rows.map((row) => fold(row[0]) + "\n" + fold(row[8]));
  const value = (row) => (column === 4 ? row[4] / row[2] : column === 1 ? data.labels[row[1]] : row[column]);
  const signed = (x) => (x.toFixed(2) === "0.00" || x.toFixed(2) === "-0.00" ? "0.00" : (x > 0 ? "+" : "\u2212") + Math.abs(x).toFixed(2));
  const share = (x) => (x > 0 && x < 0.001 ? "<0.1 %" : x > 0 && x < 0.0995 ? (100 * x).toFixed(1) + " %" : (100 * x).toFixed(0) + " %");
  const times = (x) => "\u00d7" + (x >= 10 ? number.format(Math.round(x)) : x.toFixed(1));
  const put = (tag, text, name) => {
    const cell = document.createElement(tag);
    if (text !== undefined) cell.textContent = text;
    if (name) cell.dataset.name = name;
    return cell;
  };
  const bdi = (text) => put("bdi", text);

  function score(mean) {
    const cell = put("td", undefined, names[5]), mark = put("span"), dot = put("i");
    mark.className = "score " + (mean <= -0.1 ? "negative" : mean >= 0.1 ? "positive" : "neutral");
    dot.setAttribute("aria-hidden", "true");
    mark.append(dot, signed(mean));
    cell.append(mark);
    return cell;
  }

  function line(row) {
    const tr = document.createElement("tr");
    const head = put("th");
    head.scope = "row";
    head.append(bdi(row[0]));
    const ids = put("td");
    for (const id of row[7]) {
      const code = put("code");
      code.append(bdi(id));
      ids.append(code);
    }
    tr.append(
      head, put("td", data.labels[row[1]]), put("td", number.format(row[2]), names[2]),
      put("td", number.format(row[3]), names[3]), ...(data.moods ? [put("td", share(row[4] / row[2]), names[4]), score(row[5])] : []),
      put("td", row[6] === null ? "\u2013" : row[9] ? times(row[6]) : data.texts.new, names[6]), ids,
    );
    return tr;
  }

  function show() {
    body.replaceChildren(...rows.slice(0, limit).map(line));
    found.textContent = data.texts.shown_of.replace("{shown}", number.format(Math.min(limit, rows.length))).replace("{all}", number.format(rows.length));
    more.hidden = rows.length <= limit;
  }

  function update() {
    const wanted = fold(search.value.trim());
    rows = data.rows.filter((row, i) => (!kind.value || row[1] === kind.value) && keys[i].includes(wanted));
    rows.sort((one, other) => {
      const a = value(one), b = value(other);
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "string" ? collator.compare(a, b) : a - b;
      return down ? -order : order;
    });
    limit = STEP;
    show();
  }

  for (const head of heads) {
    const button = head.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", () => {
      const mine = Number(head.dataset.column);
      down = mine === column ? !down : mine > 1;
      column = mine;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      update();
    });
  }
  search.addEventListener("input", update);
  kind.addEventListener("change", update);
  more.addEventListener("click", () => { limit += 4 * STEP; show(); });
  show();
  document.documentElement.dataset.ready = "yes";
})();
