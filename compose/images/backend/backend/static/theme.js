// Light, dark, or as the system has it; remembered on this machine.
const NAMES = { "": "as the system", light: "light", dark: "dark" };
const NEXT = { "": "light", light: "dark", dark: "" };

export function themeButton(button) {
  function apply(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.title = `Colours: ${NAMES[theme]}`;
    button.setAttribute("aria-label", button.title);
  }
  let theme = localStorage.getItem("theme") ?? "";
  if (!(theme in NAMES)) theme = "";
  apply(theme);
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    localStorage.setItem("theme", theme);
    apply(theme);
  });
}
