"""The dashboard's pages run in this process, by Streamlit's AppTest."""

import json
from collections.abc import Mapping
from typing import Any

from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from meshslo.dashboards.app.shell import pages
from meshslo.dashboards.app.start import Start


def _script(words: list[str]) -> None:
    from meshslo.dashboards.app.shell import run
    from meshslo.dashboards.app.start import Start

    run(Start.from_words(words))


def show(
    start: Start,
    path: str = "chain",
    *,
    user: Mapping[str, Any] | None = None,
    timeout_s: float = 120,
    **query: str | list[str],
) -> AppTest:
    """The dashboard at a page and an address, as `user` (claims of an identity token) sees it; fails where the page raised."""
    app = AppTest.from_function(_script, args=(start.to_words(),), default_timeout=timeout_s)
    # The dashboard has no components of others; looking for them in all installed packages takes a third of a page's time.
    app._bidi_component_manager = BidiComponentManager()
    if user is not None:
        app.user = {"is_logged_in": True, **user}
    app.query_params.update(query)
    if path != pages()[0].path:
        # Pages are functions, which AppTest.switch_page does not know: this is what it would set.
        app._page_hash = calc_hash(path)
    return ran(app.run())


def ran(app: AppTest) -> AppTest:
    """`app`, which has run without raising."""
    assert not app.exception, [(error.message, error.stack_trace) for error in app.exception]
    return app


def figure(app: AppTest, key: str) -> dict[str, Any]:
    """The plotly figure whose widget ends in `key`."""
    (found,) = [chart.proto for chart in app.get("plotly_chart") if chart.proto.id.endswith(f"-{key}")]
    spec: dict[str, Any] = json.loads(found.figure.spec if hasattr(found, "figure") else found.spec)
    return spec


def everything(app: AppTest) -> str:
    """All that a browser gets of the page: texts, figures, tables and the choices of each widget."""
    said = [str(app.main), str(app.sidebar), *(table.value.to_csv() for table in app.dataframe)]
    said += [str(element.proto) for kind in ("plotly_chart", "download_button") for element in app.get(kind)]
    said += [str(widget.options) for kind in ("multiselect", "selectbox") for widget in app.get(kind)]
    return "\n".join(said)
