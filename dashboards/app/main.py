"""The script that Streamlit runs: `streamlit run main.py -- WORDS` with the words of `start.Start.to_words`."""

import sys

from meshslo.dashboards.app.shell import run  # Streamlit runs this file as a script: relative imports have no package here
from meshslo.dashboards.app.start import Start

if __name__ == "__main__":
    run(Start.from_words(sys.argv[1:]))
