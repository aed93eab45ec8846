// Which Ollama answers: asked at the start, after each answer, and while the page is looked at.
const EVERY = 10_000; // milliseconds

function short(url) {
  return url.replace(/^https?:\/\//, "");
}

function rows(details, told) {
  const { ollama } = told;
  const list = [
    ["Ollama", ollama.url],
    ["State", ollama.reached ? `reached in ${ollama.latency_ms} ms` : `not reached: ${ollama.error}`],
    ["Version", ollama.version],
    ["Model", told.model + (told.model_present === false ? " (the server does not have it)" : "")],
    ["Models there", told.models.join(", ")],
    ["Service", `${told.service} ${told.version}${told.debug ? ", debug" : ""}`],
  ];
  details.replaceChildren(...list.filter(([, value]) => value).flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

export function watchServer(pill, label, model, details) {
  function show(state, text) {
    pill.dataset.state = state;
    if (label.textContent !== text) label.textContent = text;
    pill.title = text;
  }

  async function look() {
    try {
      const answer = await fetch("/api/info", { signal: AbortSignal.timeout(8000) });
      const told = await answer.json();
      model.textContent = told.model + (told.model_present === false ? ", which this server does not have" : "");
      show(told.ollama.reached ? "reached" : "lost",
        `${short(told.ollama.url)}${told.ollama.reached ? "" : " is not reached"}`);
      rows(details, told);
    } catch {
      show("lost", "the chat service does not answer");
    }
  }

  pill.addEventListener("click", () => {
    details.hidden = !details.hidden;
    pill.setAttribute("aria-expanded", String(!details.hidden));
  });
  setInterval(() => { if (!document.hidden) look(); }, EVERY);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  look();
  return { look };
}
