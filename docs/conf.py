"""Settings of the site. Build it from the checkout: python -m sphinx -W --keep-going docs docs/_site."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "site_pages"), str(HERE.parent)]

project = "ecgscan_lab"
author = "the ecgscan_lab authors"
copyright = author  # noqa: A001
version = release = re.search(r'__version__ = "(.+)"', (HERE.parent / "ecgscan_lab/__init__.py").read_text())[1]

extensions = ["myst_parser", "site_pages"]
exclude_patterns = ["_site", "site_pages"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
add_module_names = False
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
suppress_warnings = ["ref.python"]  # a type in a signature may be called like two classes; it is then not a link

html_theme = "furo"
html_title = "ecgscan_lab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
