"""ContinuousMixin: `generate_batch` and `init_continuous_batching`; xf-plugin-engine-continuous does the work.

Without that distribution the methods raise the error that says how to install it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from xf.plugins import PluginNotInstalledError

from .configuration import GenerationConfig


def _manager_class() -> Any:
    try:
        from xf import ContinuousBatchingManager
    except ImportError as error:
        if isinstance(error, PluginNotInstalledError) or type(error) is not ImportError:
            raise
        raise PluginNotInstalledError(
            "Continuous batching needs another distribution: pip install xf-plugin-engine-continuous"
        ) from error
    return ContinuousBatchingManager


class ContinuousMixin:
    """Many requests at once: each joins the running batch when there is room and leaves it when it is done."""

    def generate_batch(
        self,
        inputs: Sequence[Sequence[int] | Tensor],
        generation_config: GenerationConfig | None = None,
        continuous_batching_config: Any = None,
        **settings: Any,
    ) -> Any:
        """Continue many prompts (lists of token ids of any lengths): {"req_0": GenerationOutput, ...} in their order.

        Tokens are those that `generate` gives one by one. settings: as `generate` takes them. A prompt that cannot be
        served (empty, unknown ids, larger than the pool) has its `error` in its output and costs the others nothing.
        continuous_batching_config: a ContinuousBatchingConfig, with the size of the page pool.
        Raises: ValueError for models whose cache or attention cannot be paged.
        """
        return _manager_class().generate_batch(self, inputs, generation_config, continuous_batching_config, **settings)

    def init_continuous_batching(
        self, generation_config: GenerationConfig | None = None, continuous_batching_config: Any = None, **settings: Any
    ) -> Any:
        """A ContinuousBatchingManager: start it (or use it in a `with` block), add requests while it runs.

        generation_config, settings: defaults of its requests.
        """
        return _manager_class()(self, generation_config, continuous_batching_config, **settings)

    @contextlib.contextmanager
    def continuous_batching_context_manager(
        self, generation_config: GenerationConfig | None = None, continuous_batching_config: Any = None, **settings: Any
    ) -> Iterator[Any]:
        """A manager that runs inside the block; at the end of the block it finishes what it was given."""
        with self.init_continuous_batching(generation_config, continuous_batching_config, **settings) as manager:
            yield manager
