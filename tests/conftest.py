"""What holds for every suite: no example fails because the machine was slow."""

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pairs",
        type=int,
        help="rules and spans of which engines must say the same, for each engine "
        "(else 2000 in the fast lane, 100000 in contracts)",
    )
    parser.addoption("--seed", type=int, help="where random rules and spans come from")
