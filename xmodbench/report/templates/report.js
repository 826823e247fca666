// Turns the plain tables into sortable, filterable ones. Without scripts they stay readable.
(async () => {
  const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const code = document.getElementById("table-code").textContent.trim();
  const url = URL.createObjectURL(new Blob([decode(code)], { type: "text/javascript" }));
  const { default: DataTable } = await import(url);
  URL.revokeObjectURL(url);
  const options = { pageLength: 25, order: [], autoWidth: false, lengthMenu: [25, 100, { label: "all", value: -1 }] };
  const make = (id) => {
    const table = document.getElementById(id);
    if (!table || DataTable.isDataTable(table)) return;
    new DataTable(table, options);
  };
  for (const id of ["all", "jobs"]) make(id);
  const pairs = document.getElementById("pairs");
  pairs?.closest("details").addEventListener("toggle", () => make("pairs"));
  document.documentElement.dataset.tables = "ready";
})();
// Paper has no folds: open them all before printing
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
