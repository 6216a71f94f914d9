"""Leases of blobs, taken and lost by the storage SDK's own client."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiops.emulator import server
from taxiops.emulator.state.storage.leases import (
    FOREVER,
    Lease,
    LeaseError,
    acquired,
    broken,
    check_write,
    released,
    renewed,
)

OWN, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


@pytest.fixture
def blob(workspace: Any) -> Callable[[], Any]:
    """Makes clients of one new blob."""
    from azure.storage.blob import ContainerClient

    store = workspace.datastores.get_default(include_secrets=True)
    container = ContainerClient(
        f"{store.protocol}://{store.account_name}.blob.{store.endpoint}",
        store.container_name,
        credential=store.credentials.sas_token,
    )
    name = f"leases/{uuid.uuid4()}"
    container.upload_blob(name, b"one")
    return lambda: container.get_blob_client(name)


def code_of(act: Callable[[], object]) -> str:
    """The service's error code of an act that it must refuse."""
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError) as caught:
        act()
    code = getattr(caught.value, "error_code", "")
    return str(getattr(code, "value", code))


def test_only_the_holder_writes_and_everybody_reads(blob: Callable[[], Any]) -> None:
    first, second = blob(), blob()
    lease = first.acquire_lease(60)
    assert code_of(lambda: second.acquire_lease(60)) == "LeaseAlreadyPresent"
    assert code_of(lambda: second.upload_blob(b"two", overwrite=True)) == "LeaseIdMissing"
    assert code_of(lambda: second.delete_blob()) == "LeaseIdMissing"
    first.upload_blob(b"mine", overwrite=True, lease=lease)
    assert second.download_blob().readall() == b"mine"
    properties = second.get_blob_properties().lease
    assert (properties.state, properties.status, properties.duration) == (
        "leased",
        "locked",
        "fixed",
    )


def test_a_released_lease_is_free_at_once(blob: Callable[[], Any]) -> None:
    lease = blob().acquire_lease(60)
    lease.renew()
    lease.release()
    assert blob().get_blob_properties().lease.state == "available"
    blob().acquire_lease(15).release()


def test_who_knows_the_id_goes_on_for_its_dead_predecessor(blob: Callable[[], Any]) -> None:
    blob().acquire_lease(60, lease_id=OWN)
    assert blob().acquire_lease(60, lease_id=OWN).id == OWN
    assert code_of(lambda: blob().acquire_lease(60, lease_id=OTHER)) == "LeaseAlreadyPresent"


def test_an_expired_lease_is_lost_to_the_next(emulator: Any, blob: Callable[[], Any]) -> None:
    first, second = blob(), blob()
    lost = first.acquire_lease(60)
    assert server.expire_leases(emulator.state)["expired"] >= 1
    taken = second.acquire_lease(60)
    assert code_of(lost.renew) == "LeaseIdMismatchWithLeaseOperation"
    mine = lambda: first.upload_blob(b"late", overwrite=True, lease=lost)  # noqa: E731
    assert code_of(mine) == "LeaseIdMismatchWithBlobOperation"
    taken.release()


def test_a_broken_lease_is_free_after_its_period(blob: Callable[[], Any]) -> None:
    lease = blob().acquire_lease(-1)
    assert blob().get_blob_properties().lease.duration == "infinite"
    lease.break_lease(lease_break_period=0)
    assert blob().get_blob_properties().lease.state == "broken"
    assert code_of(lease.renew) == "LeaseIsBrokenAndCannotBeRenewed"
    blob().acquire_lease(15).release()


def test_impossible_durations_and_actions_are_refused(blob: Callable[[], Any]) -> None:
    assert code_of(lambda: blob().acquire_lease(5)) == "InvalidHeaderValue"
    assert code_of(lambda: blob().acquire_lease(61)) == "InvalidHeaderValue"


TIMES = st.floats(min_value=1, max_value=1e6)
DURATIONS = st.one_of(st.just(FOREVER), st.integers(15, 60))


@given(duration_s=DURATIONS, at=TIMES, later=st.floats(min_value=0, max_value=120))
def test_there_is_never_a_second_holder(duration_s: int, at: float, later: float) -> None:
    held = acquired(Lease(), OWN, duration_s, at)
    if held.is_active(at + later):
        with pytest.raises(LeaseError):
            acquired(held, OTHER, duration_s, at + later)
        with pytest.raises(LeaseError):
            check_write(held, OTHER, at + later)
        check_write(held, OWN, at + later)
        assert renewed(held, OWN, at + later).is_active(at + later)
    else:
        assert acquired(held, OTHER, duration_s, at + later).lease_id == OTHER
    assert not released(held, OWN).is_active(at + later)


@given(duration_s=DURATIONS, at=TIMES, period_s=st.one_of(st.none(), st.integers(0, 60)))
def test_a_break_ends_a_lease_no_later_than_it_would_have(
    duration_s: int, at: float, period_s: int | None
) -> None:
    held = acquired(Lease(), OWN, duration_s, at)
    ended = broken(held, period_s, at)
    last = at + (duration_s if duration_s != FOREVER else period_s or 0)
    assert not ended.is_active(last + 0.001)
