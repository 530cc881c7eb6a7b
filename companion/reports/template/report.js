// One button for all code, and provenance that is never missing on paper. The page reads without.
const button = document.getElementById("all-code");
const code = document.querySelectorAll("main details.code");
if (button && code.length) {
  let open = false;
  button.hidden = false;
  button.addEventListener("click", () => {
    open = !open;
    code.forEach((block) => { block.open = open; });
    button.textContent = open ? "Hide all code" : "Show all code";
  });
}
const provenance = document.getElementById("provenance");
let before = false;
window.addEventListener("beforeprint", () => { before = provenance.open; provenance.open = true; });
window.addEventListener("afterprint", () => { provenance.open = before; });
