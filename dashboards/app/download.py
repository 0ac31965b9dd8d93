"""Policies as one file to take away: YAML where there is one document, else a zip of them."""

import io
import zipfile
from dataclasses import dataclass
from typing import Final

import streamlit as st

from meshslo.analysis.emit import Document, emit
from meshslo.telemetry.errors import StoreError

from . import answers
from .view import View

NOT_FOR_SOME: Final = (
    "Settings of a mesh hold for all tenants, and you may see some: ask who sees all of them for the policies to take away."
)

_DAWN: Final = (1980, 1, 1, 0, 0, 0)
"""The same policies make the same bytes: entries carry zip's first moment."""


@dataclass(frozen=True)
class File:
    """Bytes, with the name and media type to save them under."""

    name: str
    kind: str
    content: bytes


def policies(view: View, mesh: str) -> File | None:
    """What the whole window justifies as policies of `mesh`, on top of the manifests in use; None where there is nothing.

    StoreError for a reader of some tenants only: a mesh's settings hold for all, and manifests may name the others.
    """
    if view.asked.tenants is not None:
        raise StoreError(NOT_FOR_SOME)
    return _policies(view.asked, mesh)


@st.cache_resource(max_entries=answers.KEPT, ttl=answers.KEPT_S, show_spinner="Writing policies ...", show_time=True)
def _policies(asked: answers.Asked, mesh: str) -> File | None:
    emission = emit(
        mesh,
        answers.recommendations(asked, None),
        settings=answers.config(asked).emit,
        manifests=answers.manifests(asked),
    )
    return packed(mesh, emission.documents)


def packed(mesh: str, documents: tuple[Document, ...]) -> File | None:
    """The documents as one file."""
    if not documents:
        return None
    if len(documents) == 1:
        return File(f"meshslo-{mesh}.yaml", "application/yaml", documents[0].text.encode())
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for document in documents:
            archive.writestr(zipfile.ZipInfo(document.path, _DAWN), document.text)
    return File(f"meshslo-{mesh}.zip", "application/zip", target.getvalue())
