"""The models of the zoo that are trained, and the engines that train them."""

import pytest

from unrolled.bench.chapter.models.registry import ZOO

NEURAL = [name for name, spec in ZOO.items() if not spec.is_counting_model]

engines = pytest.mark.parametrize("engine", ["learner", "loop"])
