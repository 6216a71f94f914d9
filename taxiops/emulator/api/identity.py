"""The wire of Entra ID and of the cloud's metadata: what a credential needs to get a token."""

from urllib.parse import parse_qs

from taxiops.emulator.api.wire import Request, Response, Routes
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import TOKEN_VALID_S, issue_token, now_s, same
from taxiops.emulator.state.jobs.surroundings import IDENTITY_PATH

routes = Routes()
NOT_STORED = {"cache-control": "no-store"}


@routes.add("GET", "/metadata/endpoints", is_anonymous=True)
def metadata(emulator: Emulator, _request: Request) -> Response:
    """ARM's list of clouds, for ARM_CLOUD_METADATA_URL; one cloud, ours."""
    arm = emulator.addresses.arm
    cloud = {
        "name": emulator.cloud_name,
        "portal": arm,
        "authentication": {"loginEndpoint": arm, "audiences": [arm], "tenant": "common"},
        "resourceManager": arm,
        "suffixes": {"storage": "local"},
    }
    return Response(body=[cloud])


@routes.add("GET", "/{tenant}/v2.0/.well-known/openid-configuration", is_anonymous=True)
@routes.add("GET", "/{tenant}/.well-known/openid-configuration", is_anonymous=True)
def openid_configuration(emulator: Emulator, request: Request) -> Response:
    tenant = request.params["tenant"]
    base = f"{emulator.addresses.arm}/{tenant}"
    document = {
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["pairwise"],
    }
    return Response(body=document)


@routes.add("POST", "/{tenant}/oauth2/v2.0/token", is_anonymous=True)
def token(emulator: Emulator, request: Request) -> Response:
    """The client-credentials grant (RFC 6749, section 4.4)."""
    form = {key: values[0] for key, values in parse_qs(request.body.decode("latin-1")).items()}
    identity = emulator.identity
    if form.get("grant_type") != "client_credentials":
        return refused("unsupported_grant_type", "AADSTS70003: only client_credentials is served.")
    if request.params["tenant"].lower() not in {identity.tenant_id, "adfs"}:
        return refused("invalid_request", "AADSTS90002: Tenant not found.")
    known = same(form.get("client_id", ""), identity.client_id)
    if not known or not same(form.get("client_secret", ""), identity.client_secret):
        return refused("invalid_client", "AADSTS7000215: Invalid client secret provided.", 401)
    scope = form.get("scope", "").split()
    audience = scope[0].removesuffix("/.default").rstrip("/") if scope else emulator.addresses.arm
    access = issue_token(identity, audience, emulator.addresses.arm, now_s())
    document = {"token_type": "Bearer", "expires_in": TOKEN_VALID_S, "access_token": access}
    return Response(body=document, headers=NOT_STORED)


@routes.add("GET", IDENTITY_PATH, is_anonymous=True)
def managed_identity(emulator: Emulator, request: Request) -> Response:
    """The managed identity of an Azure ML compute, for the jobs that run on it.

    The protocol: azure-identity's azure_ml.py, msal's _obtain_token_on_machine_learning, which
    shows a job the whole document of a refusal.
    """
    if not emulator.jobs.secrets.is_good(request.headers.get("secret", "")):
        return refused(
            "invalid_client",
            "The header secret does not hold the MSI_SECRET of a running job.",
            401,
        )
    resource = request.query.get("resource", "").removesuffix("/.default").rstrip("/")
    if not resource:
        return refused("invalid_request", "The query names no resource.")
    identity = emulator.identity
    named = request.query.get("clientid") or request.query.get("client_id") or identity.client_id
    if not same(named.lower(), identity.client_id):
        return refused("invalid_request", f"No identity {named!r} is assigned to this compute.")
    now = now_s()
    document = {
        "access_token": issue_token(identity, resource, emulator.addresses.arm, now),
        "expires_on": str(int(now) + TOKEN_VALID_S),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": identity.client_id,
    }
    return Response(body=document, headers=NOT_STORED)


def refused(error: str, description: str, status: int = 400) -> Response:
    return Response(status, {"error": error, "error_description": description})
