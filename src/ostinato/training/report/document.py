"""A whole page in one file: its head, the style, and what it allows itself to load, which is nothing."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from ostinato.training.report.markup import Markup, tag

__all__ = ["asset", "html_document", "section"]


def asset(name: str) -> str:
    """Return the text of a file beside this one."""
    return files("ostinato.training.report").joinpath(name).read_text(encoding="utf-8").strip()


def section(id_: str, title: str, *inside: object) -> Markup:
    """Return a section with its heading.

    >>> section("plan", "The plan", "words")
    '<section id="plan" aria-labelledby="plan-title"><h2 id="plan-title">The plan</h2>words</section>'
    """
    return tag("section", tag("h2", title, id=f"{id_}-title"), *inside, id=id_, aria_labelledby=f"{id_}-title")


def html_document(title: str, body: Markup, *islands: Markup, script: str = "") -> str:
    """Return a whole HTML document.

    A content security policy allows the document's own style and script alone, by their SHA-256, and pictures within it.

    Args:
        title: Of the window.
        body: What is shown above the foot.
        islands: Elements that hold data for the script.
        script: Its text; empty for none.

    >>> page = html_document("a < b", tag("main", "hello"))
    >>> page.startswith("<!doctype html>"), "<title>a &lt; b \u00b7 ostinato</title>" in page, "<script" in page
    (True, True, False)
    """
    foot = tag("footer", tag("p", "Written by ostinato. One file, nothing is loaded from anywhere."))
    scripts = (tag("script", Markup(script)),) if script else ()
    whole = tag("html", _head(title, script), tag("body", body, foot, *islands, *scripts), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _hash(source: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() + "'"


def _head(title: str, script: str) -> Markup:
    style = asset("style.css")
    allowed = f"script-src {_hash(script)}; " if script else ""
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; {allowed}img-src data:; base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(policy)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{title} · ostinato"),
        tag("style", Markup(style)),
    )
