"""The wire of Entra ID and of the cloud's metadata: what a credential needs to get a token."""

from urllib.parse import parse_qs

from taxiops.emulator.api.wire import Request, Response, Routes
from taxiops.emulator.context import Emulator
from taxiops.emulator.identity import TOKEN_VALID_S, issue_token, now_s, same

routes = Routes()


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
    return Response(body=document, headers={"cache-control": "no-store"})


def refused(error: str, description: str, status: int = 400) -> Response:
    return Response(status, {"error": error, "error_description": description})
