"""The OpenAI-compatible gateway behind ``ttscale serve``: better answers for a budget, over HTTP.

``app.py`` walks one request through the rest: ``settings`` (what the operator says), ``doors`` (who may come in),
``request`` (what is asked), ``upstream`` or ``local`` (who draws), ``reply`` (what goes back).
"""
