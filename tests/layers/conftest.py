"""What every test of the layers gets: the same random numbers each time."""

import keras
import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(20191030)


@pytest.fixture(autouse=True, scope="session")
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    # JAX compiles the projection anew for each layer: most of the suite's time.
    if keras.config.backend() == "jax":
        import jax

        folder = tmp_path_factory.mktemp("compiled")
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
