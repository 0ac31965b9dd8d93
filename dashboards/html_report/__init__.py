"""One self-contained HTML page: pictures, tables and sentences that can be mailed and open without a network."""

from .page import Part, page
from .sections import Asked, report_page

__all__ = ["Asked", "Part", "page", "report_page"]
