"""What is found on this machine, and what is said about devices that are not there."""

import pytest
import torch

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.planning.machine import describe_machine


def test_the_cpu_is_always_there():
    machine = describe_machine("cpu")
    assert machine.device == "cpu"
    assert machine.cores >= 1
    assert machine.free_memory > 0
    assert machine.precision in ("32-true", "bf16-mixed")
    assert "CPU" in machine.device_name


def test_auto_takes_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert describe_machine("auto").device == "cpu"


def test_auto_prefers_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5 * 2**30, 8 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    machine = describe_machine("auto")
    assert (machine.device, machine.device_name) == ("cuda", "Some card")
    assert machine.free_memory == 5 * 2**30
    assert machine.precision == "16-mixed"


def test_mps_trains_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert describe_machine("mps").precision == "32-true"


def test_an_unknown_device_is_refused_with_the_choices():
    with pytest.raises(SettingsError, match="no device “tpu”; choose auto, cpu, cuda or mps"):
        describe_machine("tpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_with_what_to_do(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=f"no {device.upper()} device.*choose --device cpu"):
        describe_machine(device)


def test_a_cpu_that_only_emulates_bfloat16_trains_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert describe_machine("cpu").precision == "32-true"
