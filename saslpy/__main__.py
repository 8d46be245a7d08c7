"""``python -m saslpy``."""

import sys

from .cli import main

sys.exit(main())
