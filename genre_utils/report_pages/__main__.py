"""``python -m genre_utils.report_pages`` builds the report of a study."""

import sys

from genre_utils.report_pages import main

sys.exit(main())
