// Turns the plain tables into sortable, filterable ones. Without scripts they stay readable.
(async () => {
  const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const code = document.getElementById("table-code").textContent.trim();
  const url = URL.createObjectURL(new Blob([decode(code)], { type: "text/javascript" }));
  const { default: DataTable } = await import(url);
  URL.revokeObjectURL(url);
  // numbers: what has none comes last, whichever way they are sorted
  const ordered = (sign) => (a, b) => (a === "") - (b === "") || sign * (a - b);
  DataTable.ext.type.order["value-asc"] = ordered(1);
  DataTable.ext.type.order["value-desc"] = ordered(-1);
  // a menu of the values in each of the columns with few of them
  const columns = (table, mark) => [...table.tHead.rows[0].cells].flatMap((cell, place) => (mark in cell.dataset ? [place] : []));
  const options = { pageLength: 25, order: [], autoWidth: false, lengthMenu: [25, 100, { label: "all", value: -1 }] };
  const make = (id) => {
    const table = document.getElementById(id);
    if (!table || DataTable.isDataTable(table)) return;
    const columnControl = { target: 0, content: ["order"] };
    const columnDefs = [
      { targets: columns(table, "filter"), columnControl: { target: 0, content: ["order", ["searchList"]] } },
      { targets: columns(table, "value"), type: "value", className: "dt-right" },
    ];
    new DataTable(table, { ...options, ordering: { indicators: false }, columnControl, columnDefs });
  };
  for (const id of ["all", "jobs"]) make(id);
  const pairs = document.getElementById("pairs");
  pairs?.closest("details").addEventListener("toggle", () => make("pairs"));
  document.documentElement.dataset.tables = "ready";
})();
// The menu above the dot plot
document.getElementById("metric")?.addEventListener("change", (event) => {
  const { visible, title, range } = JSON.parse(document.getElementById("choices").textContent)[event.target.value];
  Plotly.update("dots", { visible }, { "xaxis.title.text": title, "xaxis.range": range });
});
// Paper has no folds: open them all before printing
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
