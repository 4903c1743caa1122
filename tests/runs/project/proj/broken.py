"""A module of spiders that cannot be imported."""

import a_module_that_is_not_there  # noqa: F401  # that it fails is what this file is for
