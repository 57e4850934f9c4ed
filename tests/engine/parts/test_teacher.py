import pytest
import torch
from torch import nn

from napari_semiseg.engine.parts.teacher import AveragedTeacher


def network():
    return nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))


def test_the_first_update_copies_the_student_exactly():
    student, other = network(), network()
    teacher = AveragedTeacher(other)
    assert teacher.current_decay == 0
    teacher.update(student)
    for mine, theirs in zip(teacher.network.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_decay_reaches_its_final_value_after_99_updates():
    teacher = AveragedTeacher(network())
    teacher.updates = 99
    assert teacher.current_decay == pytest.approx(0.99)
    teacher.updates = 10_000
    assert teacher.current_decay == 0.99


def test_the_average_is_the_weighted_mean_of_old_and_new():
    student = nn.Linear(1, 1, bias=False)
    nn.init.constant_(student.weight, 1.0)
    teacher = AveragedTeacher(student, decay=0.9)
    teacher.updates = 1000
    nn.init.constant_(student.weight, 2.0)
    teacher.update(student)
    assert teacher.network.weight.item() == pytest.approx(1.1)


def test_the_teacher_never_requires_gradients():
    teacher = AveragedTeacher(network())
    assert not any(weight.requires_grad for weight in teacher.network.parameters())
    assert not teacher(torch.randn(1, 1, 4, 4, 4)).requires_grad


@pytest.mark.parametrize(("buffers", "same"), [("copy", True), ("own", False)])
def test_batch_statistics_are_copied_or_left_alone(buffers, same):
    student = network()
    teacher = AveragedTeacher(student, buffers=buffers)
    student(torch.randn(4, 1, 6, 6, 6) + 5)
    teacher.update(student)
    assert torch.equal(teacher.network[1].running_mean, student[1].running_mean) is same


def test_a_stored_teacher_continues_where_it_was():
    student = network()
    teacher = AveragedTeacher(student)
    teacher.update(student)
    other = AveragedTeacher(network())
    other.load_state_dict(teacher.state_dict())
    assert other.updates == 1
    torch.testing.assert_close(other.network[0].weight, student[0].weight)
