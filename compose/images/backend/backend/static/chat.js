// The conversation: one form, one list of turns, answers streamed as lines of JSON.
import { fault, turn } from "./turns.js";
import { watchServer } from "./server.js";
import { themeButton } from "./theme.js";

const $ = (id) => document.getElementById(id);
const form = $("form"), prompt = $("prompt"), send = $("send"), log = $("log"), turns = $("turns");

const messages = [];
let running = null; // the AbortController of the answer under way

const server = watchServer($("link"), $("link-text"), $("model"), $("details"));
themeButton($("theme"));

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
}

function follow(change) {
  const stay = atEnd();
  change();
  if (stay) log.scrollTop = log.scrollHeight;
}

function busy(controller) {
  running = controller;
  send.toggleAttribute("data-busy", Boolean(controller));
  $("send-text").textContent = controller ? "Stop" : "Send";
  send.disabled = !controller && !prompt.value.trim();
}

function fit() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
  if (!running) send.disabled = !prompt.value.trim();
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

// What went wrong: a message, and what to do about it.
class Fault extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

async function ask(signal) {
  let answer;
  try {
    answer = await fetch("/chat", {
      method: "POST", signal,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages }),
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Fault("The chat service does not answer", "stackctl status");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Fault(told.error || `HTTP ${answer.status}`, told.hint);
  }
  return lines(answer.body);
}

async function answerTo(view, signal) {
  let text = "", ended = false;
  try {
    for await (const line of await ask(signal)) {
      if (line.type === "start") view.by(line);
      else if (line.type === "thinking") follow(() => view.think(line.text));
      else if (line.type === "token") { text += line.text; follow(() => view.write(text)); }
      else if (line.type === "end") { ended = true; view.by(line); }
      else if (line.type === "error") throw new Fault(line.message, line.hint);
    }
    if (!ended) throw new Fault("The connection closed before the answer was complete", "try again");
  } finally {
    view.rest();
    // Gone from the page: a new conversation has begun meanwhile.
    if (text && view.item.isConnected) messages.push({ role: "assistant", content: text });
  }
  return text;
}

async function converse() {
  $("empty").hidden = true;
  const controller = new AbortController();
  busy(controller);
  const view = turn(turns, "assistant");
  log.scrollTop = log.scrollHeight;
  try {
    const text = await answerTo(view, controller.signal);
    $("announce").textContent = text;
  } catch (error) {
    if (controller.signal.aborted) view.by({ stopped: true });
    else follow(() => fault(view, error, () => { view.remove(); dropUnanswered(); converse(); }));
    if (!controller.signal.aborted) $("announce").textContent = `Error: ${error.message}`;
  } finally {
    if (running === controller) busy(null);
    server.look();
  }
}

// A retry asks again: what came of the failed answer is no part of the conversation.
function dropUnanswered() {
  if (messages.at(-1)?.role === "assistant") messages.pop();
}

function say(text) {
  messages.push({ role: "user", content: text });
  $("empty").hidden = true;
  turn(turns, "user").write(text);
  prompt.value = "";
  fit();
  converse();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else if (prompt.value.trim()) say(prompt.value.trim());
});
prompt.addEventListener("input", fit);
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!running) form.requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) running.abort();
});
$("clear").addEventListener("click", () => {
  running?.abort();
  messages.length = 0;
  turns.replaceChildren();
  $("empty").hidden = false;
  prompt.focus();
});
for (const idea of document.querySelectorAll(".idea")) {
  idea.addEventListener("click", () => { if (!running) say(idea.textContent); });
}

fit();
prompt.focus();
