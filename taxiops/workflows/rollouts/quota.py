"""Whether the region has room for one more slot, asked before anything is changed."""

import math

from taxiops.cloud.client import Connection
from taxiops.cloud.quota import Quota, read_quota
from taxiops.errors import StepFailed, TaxiopsError
from taxiops.workflows.documents import Progress
from taxiops.workflows.rollouts.limits import Limits

# Azure reserves a fifth more for upgrades, and both slots at once (learn.microsoft.com/azure/
# machine-learning/how-to-manage-quotas, "virtual machine quota allocation for deployment").
RESERVED = 1.2


def check_quota(connection: Connection, limits: Limits, progress: Progress) -> None:
    """Raises StepFailed when the slot's instances do not fit into what is left.

    Where the quota cannot be read, that is told and the deployment decides.
    """
    try:
        quota = read_quota(connection, limits.instance_type)
    except TaxiopsError as error:
        progress(f"the quota is unknown: {error.what} {error.why[:120]}")
        return
    if quota is None or not quota.limit:
        return
    needed = cores_of_slot(limits, quota)
    left = quota.limit - quota.used
    if needed > left:
        raise StepFailed(
            f"The quota leaves {left} of {quota.limit} cores of {quota.family}; {needed} are "
            "needed. Nothing was changed.",
            why=f"{limits.instance_count} x {limits.instance_type}, with the fifth that Azure "
            "reserves on top.",
            hint="Ask for quota, or delete an idle slot: taxiops cleanup deployment --slot NAME",
            code="azure-quota",
        )


def cores_of_slot(limits: Limits, quota: Quota) -> int:
    """What one slot's instances take from the quota."""
    return math.ceil(RESERVED * limits.instance_count) * quota.cores
