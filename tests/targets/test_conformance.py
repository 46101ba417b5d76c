"""The published suite, run against every kind of object that Ostinato knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from ostinato.testing import TargetTestCase


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(2))]


class TestGroupKey(TargetTestCase):
    target = "optimizer.lr"

    def make(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters(), lr=0.7)

    def read(self, owner: Any) -> float:
        return owner.param_groups[0]["lr"]

    def meddle(self, owner: Any, value: float) -> bool:
        owner.param_groups[0]["lr"] = value
        return True


class TestTensorGroupKey(TestGroupKey):
    tolerance = 1e-6

    def make(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters(), lr=torch.tensor(0.7))

    def meddle(self, owner: Any, value: float) -> bool:
        owner.param_groups[0]["lr"].fill_(value)
        return True


class TestTupleElement(TargetTestCase):
    target = "optimizer.betas.1"

    def make(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters())

    def read(self, owner: Any) -> float:
        return owner.param_groups[0]["betas"][1]

    def meddle(self, owner: Any, value: float) -> bool:
        owner.param_groups[0]["betas"] = (0.9, value)
        return True


class TestModule(TargetTestCase):
    target = "model:Dropout.p"

    def make(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.6))

    def read(self, owner: Any) -> float:
        return owner[1].p

    def meddle(self, owner: Any, value: float) -> bool:
        owner[1].p = value
        return True


class Smooth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gamma", torch.tensor(2.0), persistent=False)


class TestBuffer(TargetTestCase):
    target = "model.gamma"
    tolerance = 1e-6

    def make(self) -> nn.Module:
        return Smooth()

    def read(self, owner: Any) -> float:
        return owner.gamma.item()

    def meddle(self, owner: Any, value: float) -> bool:
        owner.gamma.fill_(value)
        return True


class TestLoss(TargetTestCase):
    target = "loss.label_smoothing"

    def make(self) -> nn.Module:
        return nn.CrossEntropyLoss(label_smoothing=0.05)

    def read(self, owner: Any) -> float:
        return owner.label_smoothing

    def meddle(self, owner: Any, value: float) -> bool:
        owner.label_smoothing = value
        return True


class Agent:
    def __init__(self) -> None:
        self.epsilon = 1


class TestObjectWithAnInteger(TargetTestCase):
    target = "agent.epsilon"

    def make(self) -> Agent:
        return Agent()

    def read(self, owner: Any) -> float:
        return owner.epsilon

    def meddle(self, owner: Any, value: float) -> bool:
        owner.epsilon = value
        return True

    def test_an_integer_stays_one(self) -> None:
        agent = self.make()
        self.bind(agent).restore()
        assert type(agent.epsilon) is int


@dataclass(slots=True)
class Settings:
    sigma: float = 0.9


class TestSlotsDataclass(TargetTestCase):
    target = "noise.sigma"

    def make(self) -> Settings:
        return Settings()

    def read(self, owner: Any) -> float:
        return owner.sigma

    def meddle(self, owner: Any, value: float) -> bool:
        owner.sigma = value
        return True


@dataclass
class Plain:
    sigma: float = 0.9


class TestDataclass(TestSlotsDataclass):
    def make(self) -> Any:
        return Plain()


class Guarded:
    def __init__(self) -> None:
        self._strength = 0.9
        self.writes = 0

    @property
    def strength(self) -> float:
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        self.writes += 1
        self._strength = value

    def get(self) -> float:
        return self._strength

    def put(self, value: float) -> None:
        self.strength = value


class TestProperty(TargetTestCase):
    target = "augment.strength"

    def make(self) -> Guarded:
        return Guarded()

    def read(self, owner: Any) -> float:
        return owner.strength

    def meddle(self, owner: Any, value: float) -> bool:
        owner._strength = value
        return True

    def test_goes_through_the_setter(self) -> None:
        owner = self.make()
        scheduler = self.bind(owner)
        scheduler.step()
        assert owner.writes == 2


class Recorded:
    """A data descriptor that keeps its value in the object's own dictionary, under its own name."""

    def __set__(self, owner: Any, value: float) -> None:
        owner.writes.append(value)
        owner.__dict__["strength"] = value

    def __get__(self, owner: Any, kind: Any) -> Any:
        return self if owner is None else owner.__dict__["strength"]


class Described:
    strength = Recorded()

    def __init__(self) -> None:
        self.writes: list[float] = []
        self.strength = 0.9


class Intercepting:
    def __init__(self) -> None:
        self.__dict__.update(writes=[], strength=0.9)

    def __setattr__(self, name: str, value: float) -> None:
        self.writes.append(value)
        super().__setattr__(name, value)


class TestDescriptor(TargetTestCase):
    target = "augment.strength"

    def make(self) -> Any:
        return Described()

    def read(self, owner: Any) -> float:
        return owner.strength

    def meddle(self, owner: Any, value: float) -> bool:
        owner.__dict__["strength"] = value
        return True

    def test_every_write_goes_through_the_object(self) -> None:
        owner = self.make()
        owner.writes.clear()
        self.bind(owner).step()
        assert owner.writes == [self.high, owner.strength]


class TestInterceptedAttribute(TestDescriptor):
    def make(self) -> Any:
        return Intercepting()


class TestDictionary(TargetTestCase):
    target = "config.gamma"

    def make(self) -> dict[str, float]:
        return {"gamma": 2.0}

    def read(self, owner: Any) -> float:
        return owner["gamma"]

    def meddle(self, owner: Any, value: float) -> bool:
        owner["gamma"] = value
        return True


class TestList(TargetTestCase):
    target = "weights.1"

    def make(self) -> list[float]:
        return [1.0, 2.0]

    def read(self, owner: Any) -> float:
        return owner[1]

    def meddle(self, owner: Any, value: float) -> bool:
        owner[1] = value
        return True


class TestMethods(TargetTestCase):
    target = "strength"

    def make(self) -> Any:
        owner = Guarded()
        return owner.get, owner.put

    def read(self, owner: Any) -> float:
        return owner[0]()

    def meddle(self, owner: Any, value: float) -> bool:
        owner[1](value)
        return True


class TestClosures(TargetTestCase):
    target = "strength"
    copies = False
    pickles = False

    def make(self) -> Any:
        box = [0.9]
        return (lambda: box[0]), (lambda value: box.__setitem__(0, value))

    def read(self, owner: Any) -> float:
        return owner[0]()

    def meddle(self, owner: Any, value: float) -> bool:
        owner[1](value)
        return True


class Deaf:
    """An object that takes no value: the suite must not pass it."""

    @property
    def sigma(self) -> float:
        return 0.9

    @sigma.setter
    def sigma(self, value: float) -> None:
        pass


def test_the_suite_fails_an_object_that_ignores_its_values() -> None:
    class Case(TargetTestCase):
        target = "noise.sigma"

        def make(self) -> Any:
            return Deaf()

        def read(self, owner: Any) -> float:
            return owner.sigma

    for test in (Case().test_every_value_of_the_plan_arrives, Case().test_resumes_in_a_fresh_object):
        with pytest.raises(AssertionError, match=r"noise\.sigma"):
            test()
