"""From observations to signs: named facts that hold, one file a layer. Causes are judged by signs alone."""

from __future__ import annotations

from stackctl.diagnose.scene import Scene, UrlSetting
from stackctl.diagnose.signs import api, config, http, life, logs, names, paths, route, tls
from stackctl.diagnose.signs.board import Board, Case


def of(scene: Scene, setting: UrlSetting) -> Board:
    """Every sign for one URL of one consumer."""
    case = Case.of(scene, setting)
    board = Board()
    for layer in (config, paths, life, names, route, tls, http, api, logs):
        layer.read(case, board)
    return board


def of_project(scene: Scene) -> list[Board]:
    """Signs that belong to no URL: one board a service that is to be looked at on its own."""
    return life.of_services(scene)
