"""The table of routes, and what each release did not have yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_double.api.anthropic import AnthropicApi
from ollama_double.api.chat import ChatApi
from ollama_double.api.cloud import CloudApi
from ollama_double.api.create import CreateApi
from ollama_double.api.embed import EmbedApi
from ollama_double.api.models import ModelsApi
from ollama_double.api.openai_chat import OpenAiChat
from ollama_double.api.openai_models import OpenAiModels
from ollama_double.api.openai_responses import OpenAiResponses
from ollama_double.api.pull import PullApi
from ollama_double.net.web import Routes

if TYPE_CHECKING:
    from ollama_double.app import App

# path -> first release that has it (facts of the git history)
_SINCE = {
    "/api/status": (0, 16, 2), "/api/me": (0, 12, 0), "/v1/responses": (0, 13, 3), "/v1/messages": (0, 14, 0),
    "/v1/audio/transcriptions": (0, 20, 0), "/api/embed": (0, 3, 0), "/v1/embeddings": (0, 3, 0), "/api/ps": (0, 1, 33),
    "/v1/completions": (0, 2, 6), "/v1/models": (0, 3, 0), "/api/signout": (0, 12, 0),
}  # fmt: skip


def table(app: App) -> Routes:
    """Return the routes of the version that the double claims to be."""
    routes = Routes()
    own, chat, models, pull = CloudApi(app), ChatApi(app), ModelsApi(app), PullApi(app)
    embed, create, text, listed = EmbedApi(app), CreateApi(app), OpenAiChat(app), OpenAiModels(app)
    # HEAD first: 405 answers name the methods in the order in which they were routed.
    routes.add("HEAD GET", "/", own.root)
    routes.add("HEAD GET", "/api/version", own.version)
    routes.add("GET", "/api/status", own.status)
    routes.add("HEAD GET", "/api/tags", models.tags)
    routes.add("GET", "/api/ps", models.ps)
    routes.add("POST", "/api/show", models.show)
    routes.add("POST", "/api/generate", chat.generate)
    routes.add("POST", "/api/chat", chat.chat)
    routes.add("POST", "/api/embed", embed.embed)
    routes.add("POST", "/api/embeddings", embed.embeddings)
    routes.add("POST", "/api/pull", pull.pull)
    routes.add("POST", "/api/push", pull.push)
    routes.add("POST", "/api/create", create.create)
    routes.add("DELETE", "/api/delete", models.delete)
    routes.add("POST", "/api/copy", models.copy)
    routes.add("HEAD", "/api/blobs/:digest", models.head_blob)
    routes.add("POST", "/api/blobs/:digest", models.post_blob)
    routes.add("POST", "/api/me", own.me)
    routes.add("POST", "/api/signout", own.signout)
    routes.add("DELETE", "/api/user/keys/:key", own.signout)
    routes.add("POST", "/api/experimental/web_search", own.web)
    routes.add("POST", "/api/experimental/web_fetch", own.web)
    routes.add("GET", "/api/experimental/model-recommendations", own.recommendations)
    routes.add("POST", "/v1/chat/completions", text.completions)
    routes.add("POST", "/v1/completions", listed.completions)
    routes.add("POST", "/v1/embeddings", listed.embeddings)
    routes.add("GET", "/v1/models", listed.list)
    routes.add("GET", "/v1/models/:model", listed.get)
    routes.add("POST", "/v1/responses", OpenAiResponses(app).create)
    routes.add("POST", "/v1/audio/transcriptions", listed.transcriptions)
    routes.add("POST", "/v1/messages", AnthropicApi(app).messages)
    for path, since in _SINCE.items():
        if not app.at_least(*since):
            routes.remove(path)
    return routes
