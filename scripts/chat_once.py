#!/usr/bin/env python3
"""Ask the reference backend one question and print the answer as it comes.

    scripts/chat_once.py URL QUESTION [TEXT]

Ends with 1 where the backend gives no whole answer, or where TEXT, if given, stands neither in
the answer nor in the address of the Ollama that gave it.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request


def ask(url: str, question: str) -> str:
    """Stream one turn to standard output; gives the words and the address of the Ollama that answered."""
    request = urllib.request.Request(  # noqa: S310  (the demo's own backend)
        f"{url}/chat", json.dumps({"prompt": question}).encode(), {"Content-Type": "application/json"}
    )
    told, server, whole = [], "", False
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=600) as answer:
        for raw in answer:
            line = json.loads(raw)
            if line["type"] == "start":
                server = f"{line['model']} at {line['ollama']}"
            elif line["type"] == "token":
                told.append(line["text"])
                print(line["text"], end="", flush=True)
            elif line["type"] == "error":
                sys.exit(f"\nerror: {line['message']}")
            whole = line["type"] == "end"
    print(f"\n({server})")
    if not whole:
        sys.exit("error: the answer has no end")
    return f"{''.join(told)} {server}"


def main() -> None:
    """Run from the command line."""
    url, question, *wanted = sys.argv[1:]
    try:
        answer = ask(url, question)
    except urllib.error.HTTPError as error:
        told = json.load(error)
        sys.exit(f"error: {told['error']}\nhint: {told['hint']}")
    except OSError as error:
        sys.exit(f"error: {url}: {error}")
    if wanted and wanted[0] not in answer:
        sys.exit(f"error: the answer does not come from {wanted[0]}")


if __name__ == "__main__":
    main()
