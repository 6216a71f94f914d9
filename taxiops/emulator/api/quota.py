"""Usage and sizes of a region on the control plane, and the control route that sets a limit."""

from taxiops.emulator.api.control import check_key
from taxiops.emulator.api.wire import Json, Request, Response, Routes, bad_request
from taxiops.emulator.context import Emulator
from taxiops.emulator.state.endpoints.quota import FAMILIES, SIZES

routes = Routes()
LOCATION = (
    "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}"
)


@routes.add("GET", LOCATION + "/usages")
def usages(emulator: Emulator, request: Request) -> Response:
    base = LOCATION.format(**request.params)
    rows: list[Json] = [
        {
            "id": f"{base}/usages/{family}",
            "type": "Microsoft.MachineLearningServices/locations/usages",
            "unit": "Count",
            "currentValue": emulator.deployments.quota.used(family),
            "limit": emulator.deployments.quota.limit(family),
            "name": {"value": family, "localizedValue": f"{family} Cluster Dedicated vCPUs"},
        }
        for family in FAMILIES
    ]
    return Response(body={"value": rows})


@routes.add("GET", LOCATION + "/vmSizes")
def sizes(_emulator: Emulator, _request: Request) -> Response:
    rows: list[Json] = [
        {
            "name": size.name,
            "family": size.family,
            "vCPUs": size.cores,
            "gpus": 0,
            "memoryGB": size.memory_gib,
            "lowPriorityCapable": True,
            "premiumIO": True,
            "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
        }
        for size in SIZES
    ]
    return Response(body={"value": rows})


@routes.add("POST", "/_emulator/quota", is_anonymous=True)
def set_limit(emulator: Emulator, request: Request) -> Response:
    """How many cores there are of a family."""
    check_key(emulator, request)
    document = request.json()
    family, limit = document.get("family"), document.get("limit")
    if family not in FAMILIES:
        raise bad_request(f"family: must be one of {', '.join(FAMILIES)}.")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise bad_request("limit: must be a whole number, 0 or more.")
    emulator.deployments.quota.set_limit(family, limit)
    return Response(body={"family": family, "limit": limit})
