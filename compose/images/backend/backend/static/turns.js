// One turn on the page. Text from the model is only ever put in as text.

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// Fenced code becomes a block, `code` and **strong** in a line become that; the rest stays as it was written.
const MARKS = /(`[^`\n]+`|\*\*[^*\n]+\*\*)/;

function inline(piece) {
  if (!MARKS.test(piece)) return piece;
  return piece[0] === "`" ? element("code", "", piece.slice(1, -1)) : element("strong", "", piece.slice(2, -2));
}

function render(text) {
  const made = document.createDocumentFragment();
  text.split(/^```.*$/m).forEach((part, index) => {
    if (index % 2) {
      const block = element("pre");
      block.tabIndex = 0;
      block.append(element("code", "", part.replace(/^\n|\n$/g, "")));
      made.append(block);
      return;
    }
    for (const paragraph of part.split(/\n{2,}/)) {
      if (!paragraph.trim()) continue;
      const line = element("p");
      line.append(...paragraph.trim().split(MARKS).filter(Boolean).map(inline));
      made.append(line);
    }
  });
  return made;
}

function credit({ model, ollama, tokens, seconds, stopped }) {
  if (stopped) return "stopped";
  if (model) return `${model} at ${ollama}`;
  const time = `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return tokens ? `${tokens} tokens in ${time}` : time;
}

export function turn(list, role) {
  const item = element("li", "turn");
  item.dataset.role = role;
  const who = element("span", "unseen", role === "user" ? "You: " : "Answer: ");
  const words = element("div", "words");
  item.append(who, words);
  list.append(item);
  if (role === "user") {
    return { write: (text) => words.append(text) };
  }
  item.toggleAttribute("data-busy", true);
  item.setAttribute("aria-busy", "true");
  let thoughts = null, foot = null, told = [];
  return {
    item,
    write: (text) => words.replaceChildren(render(text)),
    think(text) {
      if (!thoughts) {
        const box = element("details");
        thoughts = element("p");
        box.append(element("summary", "", "Thinking"), thoughts);
        item.insertBefore(box, words);
      }
      thoughts.append(text);
    },
    by(line) {
      foot ??= item.appendChild(element("p", "by"));
      told.push(credit(line));
      foot.textContent = told.join(" · ");
    },
    rest() {
      item.removeAttribute("data-busy");
      item.removeAttribute("aria-busy");
    },
    remove: () => item.remove(),
  };
}

export function fault(view, error, again) {
  const box = element("div", "fault");
  box.append(element("strong", "", error.message));
  if (error.hint) box.append(element("span", "", error.hint));
  const button = element("button", "again", "Try again");
  button.type = "button";
  button.addEventListener("click", again);
  view.item.append(box, button);
}
