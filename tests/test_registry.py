"""Names to environments, ours and those of other packages."""

from __future__ import annotations

import textwrap
from pathlib import Path

import gymnasium
import pytest

import puffer_numba
from puffer_numba import APIUsageError, registry
from tests.helpers.jit_envs import Locks, Walk

pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.mark.parametrize("name", registry._BUILT_IN)
def test_every_file_of_the_suite_is_in_the_registry_under_its_name(name):
    env_class = registry.spec(name).env_class
    assert env_class.__module__ == f"puffer_numba.envs.{name}"
    assert env_class.__name__ == registry._BUILT_IN[name][1]
    spec = gymnasium.registry.get(f"puffer_numba/{env_class.__name__}-v1")
    assert (spec is None) == (env_class.agents is not None) == (registry.spec(name).gym_id == "")
    if spec is not None:  # gymnasium.make takes one agent
        assert spec.kwargs == {"name": name}
        assert spec.max_episode_steps == env_class.max_episode_steps


def test_the_suite_is_complete():
    folder = Path(registry.__file__).parent / "envs"
    files = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert files == set(registry._BUILT_IN)
    assert files <= set(puffer_numba.list_envs())


def test_gymnasium_can_make_what_is_registered_there():
    ids = [gym_id for gym_id in gymnasium.registry if gym_id.startswith("puffer_numba/")]
    assert len(ids) >= 33
    for gym_id in ids:
        gymnasium.make(gym_id, jit=False).close()


def test_an_environment_of_several_agents_has_no_gymnasium_id_unless_it_is_made_with_one():
    from puffer_numba.envs import Snake

    class Duel(Snake):
        """Two snakes."""

    puffer_numba.register("duel", Duel, snakes=2)
    assert registry.spec("duel").gym_id == ""
    puffer_numba.register("duel", Duel, snakes=1)
    assert gymnasium.make(registry.spec("duel").gym_id, jit=False).unwrapped.puffer_env.num_agents == 1


def test_names_of_pufferlib():
    assert puffer_numba.make("puffer_squared", jit=False).single_action_space == gymnasium.spaces.Discrete(5)
    assert registry.spec("puffer_connect4").name == "connect_four"
    assert registry.known_as("puffer_walk") == "puffer_walk"
    puffer_numba.register("puffer_squared", Walk)  # a name of one's own comes first
    assert registry.spec("puffer_squared").env_class is Walk
    with pytest.raises(APIUsageError, match="no environment is called 'puffer_moba'"):
        puffer_numba.make("puffer_moba")


def test_make():
    env = puffer_numba.make("squared", num_envs=3, size=5, jit=False)
    assert (type(env).__name__, env.num_envs, env.params.size) == ("Squared", 3, 5)
    assert puffer_numba.make("squared", jit=False).num_envs == 1


def test_register_as_a_function_with_defaults():
    assert puffer_numba.register("walk-2", Walk, size=7, jit=False) is Walk
    assert "walk-2" in puffer_numba.list_envs()
    assert puffer_numba.make("walk-2").params.size == 7
    assert puffer_numba.make("walk-2", size=3).params.size == 3
    assert gymnasium.make("puffer_numba/Walk-v1").unwrapped.puffer_env.params.size == 7
    assert gymnasium.make_vec("puffer_numba/Walk-v1", num_envs=4, size=3).puffer_env.params.size == 3


def test_register_as_a_decorator():
    @puffer_numba.register("long_walk", size=99)
    class LongWalk(Walk):
        """Walk, but longer."""

    assert puffer_numba.make("long_walk", jit=False).params.size == 99
    assert registry.spec("long_walk").gym_id == "puffer_numba/LongWalk-v1"


def test_registering_the_same_class_again_replaces_its_defaults():
    puffer_numba.register("walk", Walk, size=3)
    puffer_numba.register("walk", Walk, size=4)
    assert puffer_numba.make("walk", jit=False).params.size == 4


def test_a_name_is_taken_once():
    puffer_numba.register("walk", Walk)
    with pytest.raises(
        APIUsageError, match=r"'walk'\): the name is taken by tests\.helpers\.jit_envs\.Walk; choose another"
    ):
        puffer_numba.register("walk", Locks)
    assert registry.spec("walk").env_class is Walk


@pytest.mark.parametrize("name", ["", "Walk", "my walk", "walk/2", "walk.2"])
def test_bad_names(name):
    with pytest.raises(APIUsageError, match=f"name is {name!r}; expected lower-case letters, digits, '_' and '-'"):
        puffer_numba.register(name, Walk)


@pytest.mark.parametrize("env_class", [int, Walk.step_env, "Walk"])
def test_only_puffer_envs_can_be_registered(env_class):
    with pytest.raises(APIUsageError, match=r"register\('cart'\): num_envs is not a default; it is make's second"):
        registry.register("cart", registry.spec("cartpole").env_class, num_envs=3)
    with pytest.raises(APIUsageError, match=r"register\('walk'\): .* is not a subclass of PufferEnv"):
        puffer_numba.register("walk", env_class)


def test_unknown_names():
    with pytest.raises(APIUsageError, match=r"'cartpol'\. Did you mean 'cartpole'\? There are: .*squared"):
        puffer_numba.make("cartpol")
    with pytest.raises(APIUsageError, match=r"no environment is called 'zzz'\. There are: ") as caught:
        puffer_numba.make("zzz")
    assert "Did you mean" not in str(caught.value)


def test_unknown_params_of_a_known_name():
    with pytest.raises(APIUsageError, match=r"Squared has no parameter 'sise'\. Did you mean 'size'\?"):
        puffer_numba.make("squared", sise=3)


# Other packages


def install(folder: Path, package: str, code: str) -> None:
    """A distribution with an entry point, as pip leaves it in site-packages."""
    (folder / f"{package}.py").write_text(textwrap.dedent(code))
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[puffer_numba.envs]\nall = {package}\n")


THEIR_CODE = """
    from puffer_numba import register
    from tests.helpers.jit_envs import Walk

    @register("their_walk", size=9, jit=False)
    class TheirWalk(Walk):
        pass
"""


@pytest.mark.parametrize(
    "use",
    [
        "'their_walk' in puffer_numba.list_envs()",
        "puffer_numba.make('their_walk').params.size == 9",
        "'their_walk' in message_of(lambda: puffer_numba.make('their_walc'))",
    ],
)
def test_other_packages_ship_environments(use, tmp_path, run_python):
    install(tmp_path, "their_package", THEIR_CODE)
    code = f"""
        import puffer_numba
        def message_of(call):
            try:
                call()
            except puffer_numba.APIUsageError as error:
                return str(error)
        assert {use}
    """
    assert run_python(textwrap.dedent(code)).stderr == ""


def test_a_broken_package_is_reported_and_does_no_harm(tmp_path, run_python):
    install(tmp_path, "broken_package", "1 / 0")
    install(tmp_path, "their_package", THEIR_CODE)
    done = run_python("import puffer_numba; print(*puffer_numba.list_envs()); puffer_numba.make('their_walk')")
    assert {"cartpole", "their_walk"} < set(done.stdout.split())
    assert done.stderr.count("cannot load environments of broken_package: ZeroDivisionError") == 1


def test_built_in_names_do_not_load_other_packages(tmp_path, run_python):
    install(tmp_path, "slow_package", "print('loaded')")
    assert "loaded" not in run_python("import puffer_numba; puffer_numba.make('bandit', jit=False)").stdout
