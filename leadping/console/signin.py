"""signin"""

from leadping.console.pages import View

# Route, view, name.
PAGES: list[tuple[str, View, str]] = []
