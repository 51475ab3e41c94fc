"""Let ``python -m genre_utils`` run the command line."""

import sys

from genre_utils.cli import main

sys.exit(main())
