"""Makes pytest show the values where a contract is not kept."""

import pytest

pytest.register_assert_rewrite("saslpy.testing")
