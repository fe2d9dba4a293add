"""`python -m avs` is `avs`."""

import sys

from avs.cli.main import main

sys.exit(main())
