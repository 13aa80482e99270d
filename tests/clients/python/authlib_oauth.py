"""The published `Authlib`: its sessions, its key assertions, its RFC 9068 validator."""

import asyncio

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from cases import (
    ACCESS_TOKEN,
    ASSERTION,
    EXCHANGE,
    FILES,
    ID_TOKEN,
    MAIL,
    PEOPLE,
    contains,
    equal,
    raises,
    run,
)
from joserfc.jwk import ECKey, KeySet, RSAKey


def metadata(known):
    """Authlib leaves the discovery of authorization servers to its users."""
    return requests.get(
        known.issuer + "/.well-known/oauth-authorization-server", timeout=10
    ).json()


def endpoint(known):
    return metadata(known)["token_endpoint"]


def session(known, application="assistant", method="client_secret_basic", secret=None):
    return OAuth2Session(
        application,
        secret or known.secrets[application],
        token_endpoint_auth_method=method,
        default_timeout=10,
    )


def with_key(known, application, audience, **claims):
    """A session of an application that proves itself by its key."""
    key, kind, alg = known.keys[application], RSAKey, "RS256"
    if application == "signer":
        kind, alg = ECKey, "ES256"
    private = kind.import_key(key.pem)
    made = OAuth2Session(
        application, private, token_endpoint_auth_method="private_key_jwt", default_timeout=10
    )
    made.register_client_auth_method(
        PrivateKeyJWT(audience, claims=claims or None, headers={"kid": key.kid}, alg=alg)
    )
    return made


def credentials(known, made, resource=FILES, **more):
    return made.fetch_token(
        endpoint(known), grant_type="client_credentials", resource=resource, **more
    )


def alices_files(known):
    return session(known).fetch_token(
        endpoint(known),
        grant_type=EXCHANGE,
        subject_token=known.alice,
        subject_token_type=ID_TOKEN,
        resource=FILES,
        scope="read write",
    )


class Validator(JWTBearerTokenValidator):
    """As the library says to: with the key set that the metadata names."""

    def __init__(self, known, audience=FILES, issuer=None):
        super().__init__(issuer or known.issuer, audience)
        self.jwks_uri = metadata(known)["jwks_uri"]

    def get_jwks(self):
        return KeySet.import_key_set(requests.get(self.jwks_uri, timeout=10).json())


def validate(known, token, scopes=("read",), **options):
    validator = Validator(known, **options)
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, list(scopes), None)
    return claims


def case_basic(known):
    answer = credentials(known, session(known), scope="read write")
    equal((answer["token_type"], answer["expires_in"]), ("Bearer", 300), "the answer")
    claims = validate(known, answer["access_token"], ["read"])
    equal(claims["sub"], "assistant", "the subject")
    equal(claims.header["alg"], known.algorithm, "the algorithm")
    equal(claims.header["typ"], "at+jwt", "the type")


def case_basic_with_an_identifier_and_a_secret_that_want_encoding(known):
    answer = credentials(known, session(known, "urn:app:batch"))
    equal(validate(known, answer["access_token"])["client_id"], "urn:app:batch", "the client")


def case_post(known):
    answer = credentials(known, session(known, method="client_secret_post"))
    equal(answer["scope"], "read", "the resource's default scope")


def case_httpx_does_the_same(known):
    async def go():
        async with AsyncOAuth2Client("assistant", known.secrets["assistant"]) as client:
            return await client.fetch_token(
                endpoint(known), grant_type="client_credentials", resource=FILES
            )

    equal(validate(known, asyncio.run(go())["access_token"])["sub"], "assistant", "the subject")


def case_refresh(known):
    made = session(known)
    first = made.fetch_token(
        endpoint(known),
        grant_type=EXCHANGE,
        subject_token=known.alice,
        subject_token_type=ID_TOKEN,
        resource=FILES,
        scope="read write",
    )["refresh_token"]
    # The library keeps what it is given, and shows that the next time.
    second = made.refresh_token(endpoint(known))
    claims = validate(known, second["access_token"], ["read", "write"])
    equal((claims["sub"], claims["act"]), ("user:idp:alice", {"sub": "assistant"}), "who")
    third = made.refresh_token(endpoint(known), scope="read")
    equal(third["scope"], "read", "the scope")
    tokens = {first, second["refresh_token"], third["refresh_token"]}
    equal(len(tokens), 3, "how many refresh tokens there were")
    # The first is spent, its successor too: what came of it all is over.
    for spent in (first, third["refresh_token"]):
        with raises(OAuthError) as caught:
            made.refresh_token(endpoint(known), refresh_token=spent)
        equal(caught.value.error, "invalid_grant", "the error")


def case_private_key_jwt_for_the_issuer(known):
    for application in ("signer", "sdk"):
        answer = credentials(known, with_key(known, application, known.issuer))
        equal(validate(known, answer["access_token"])["sub"], application, "the subject")


def case_private_key_jwt_for_the_token_endpoint(known):
    # What the library does where nothing is said: only with the legacy audience.
    answer = credentials(known, with_key(known, "sdk", None))
    equal(validate(known, answer["access_token"])["sub"], "sdk", "the subject")
    with raises(OAuthError) as caught:
        credentials(known, with_key(known, "signer", None))
    equal(caught.value.error, "invalid_client", "the error without the legacy audience")


def case_an_assertion_is_good_for_once(known):
    credentials(known, with_key(known, "signer", known.issuer, jti=f"authlib-{known.issuer}"))
    with raises(OAuthError) as caught:
        credentials(known, with_key(known, "signer", known.issuer, jti=f"authlib-{known.issuer}"))
    equal(caught.value.error, "invalid_client", "the error")


def case_an_assertion_for_another_server(known):
    with raises(OAuthError) as caught:
        credentials(known, with_key(known, "sdk", "https://other.example/oauth/token"))
    equal(caught.value.error, "invalid_client", "the error")


def case_exchange(known):
    answer = alices_files(known)
    equal(answer["issued_token_type"], ACCESS_TOKEN, "the issued type")
    claims = validate(known, answer["access_token"], ["write"])
    equal((claims["sub"], claims["act"]), ("user:idp:alice", {"sub": "assistant"}), "the chain")


def case_a_second_hop(known):
    answer = session(known, "files-api").fetch_token(
        endpoint(known),
        grant_type=EXCHANGE,
        subject_token=alices_files(known)["access_token"],
        subject_token_type=ACCESS_TOKEN,
        resource=MAIL,
    )
    claims = validate(known, answer["access_token"], audience=MAIL)
    chain = {"sub": "files-api", "act": {"sub": "assistant"}}
    equal((claims["sub"], claims["act"]), ("user:idp:alice", chain), "the chain")


def case_a_platforms_token_as_assertion(known):
    shown = {"client_assertion_type": ASSERTION, "client_assertion": known.job()}
    # Without a method of its own the library names the client beside what is shown.
    bare = OAuth2Session("job", token_endpoint_auth_method="none", default_timeout=10)
    answer = credentials(known, bare, **shown)
    equal(validate(known, answer["access_token"])["sub"], "job", "the subject")
    with raises(OAuthError) as caught:
        credentials(known, bare, **shown)
    equal(caught.value.error, "invalid_client", "the error of the second time")


def case_a_wrong_secret(known):
    for method in ("client_secret_basic", "client_secret_post"):
        with raises(OAuthError) as caught:
            credentials(known, session(known, method=method, secret="not-the-secret"))
        equal(caught.value.error, "invalid_client", f"the error by {method}")


def case_denied_by_policy(known):
    with raises(OAuthError) as caught:
        credentials(known, session(known), PEOPLE)
    equal(caught.value.error, "access_denied", "the error")
    contains(caught.value.description, "no-pii", "the description")


def case_a_resource_that_nobody_registered(known):
    with raises(OAuthError) as caught:
        credentials(known, session(known), "https://nowhere.example")
    equal(caught.value.error, "invalid_target", "the error")


def case_the_validator_refuses_what_is_for_others(known):
    token = alices_files(known)["access_token"]
    for options in ({"audience": MAIL}, {"issuer": "https://other.example"}):
        with raises(InvalidTokenError):
            validate(known, token, **options)
    with raises(InsufficientScopeError):
        validate(known, token, ["delete"])


def case_the_validator_refuses_a_token_of_another_kind(known):
    # An ID token of the identity provider is no access token of ours.
    with raises(InvalidTokenError):
        validate(known, known.alice)


if __name__ == "__main__":
    run()
