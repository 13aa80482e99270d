"""The published `keycardai-oauth`: its client, its credentials, its verifier."""

import asyncio

from cases import (
    ASSERTION,
    FILES,
    ID_TOKEN,
    JWT_TOKEN,
    MAIL,
    PEOPLE,
    contains,
    equal,
    raises,
    run,
)
from keycardai.oauth import AsyncClient, BasicAuth, Client, NoneAuth
from keycardai.oauth.exceptions import (
    AuthorizationServerDiscoveryError,
    InvalidTokenError,
    OAuthProtocolError,
)
from keycardai.oauth.server import (
    AccessContext,
    ClientSecret,
    TokenVerifier,
    WebIdentity,
    WorkloadIdentity,
)
from keycardai.oauth.server.token_exchange import exchange_tokens_for_resources


def client(known, application="assistant", secret=None):
    return Client(known.issuer, auth=BasicAuth(application, secret or known.secrets[application]))


def verifier(known, **options):
    options = {"audience": FILES, "allowed_algorithms": [known.algorithm]} | options
    return TokenVerifier(known.issuer, **options)


def verify(known, token, **options):
    return asyncio.run(verifier(known, **options).verify_token(token))


class Held:
    """Where `WebIdentity` finds the application's key: the storage protocol it documents."""

    def __init__(self, known, application):
        self.key = known.keys[application]

    def exists(self, key_id):
        return key_id == self.key.kid

    def load_key_pair(self, key_id):
        # The public half is for publishing, which the suite's server does.
        return self.key.pem, {}

    def store_key_pair(self, key_id, private_key_pem, public_key_jwk):
        raise AssertionError("the key is there")

    def delete_key_pair(self, key_id):
        return False

    def list_key_ids(self):
        return [self.key.kid]


def web_identity(known):
    held = Held(known, "sdk")
    return WebIdentity(storage=held, key_id=held.key.kid)


def exchange(known, credential, subject_token, resources, application):
    """What the library's server packages do for each inbound request."""

    async def go():
        auth = credential.get_http_client_auth()
        async with AsyncClient(known.issuer, auth=auth) as client:
            return await exchange_tokens_for_resources(
                client=client,
                resources=resources,
                subject_token=subject_token,
                access_context=AccessContext(),
                application_credential=credential,
                auth_info={"resource_client_id": application},
            )

    return asyncio.run(go())


def alices_files(known, scope="read write"):
    """A token for the files service, which `assistant` got on behalf of Alice."""
    answer = client(known).exchange_token(
        subject_token=known.alice, subject_token_type=ID_TOKEN, resource=FILES, scope=scope
    )
    return answer.access_token


def case_discovery_finds_every_endpoint_at_the_issuer(known):
    found = client(known).discover_server_metadata()
    equal(found.issuer, known.issuer, "the issuer")
    assert found.token_endpoint.startswith(known.issuer), found.token_endpoint
    assert found.jwks_uri.startswith(known.issuer), found.jwks_uri


def case_a_trailing_slash_of_the_issuer_does_no_harm(known):
    slashed = Client(known.issuer + "/", auth=BasicAuth("assistant", known.secrets["assistant"]))
    slashed.client_credentials_grant(resource=FILES)


def case_client_credentials(known):
    answer = client(known).client_credentials_grant(resource=FILES, scope="read write")
    equal(answer.token_type, "Bearer", "the token's type")
    equal(answer.expires_in, 300, "its life")
    equal(answer.scope, ["read", "write"], "its scope")
    token = verify(known, answer.access_token, required_scopes=["read"])
    equal((token.sub, token.sub_profile), ("assistant", "app"), "whom it is for")


def case_an_identifier_with_colons(known):
    answer = client(known, "urn:app:batch").client_credentials_grant(resource=FILES)
    equal(verify(known, answer.access_token).client_id, "urn:app:batch", "the client")


def case_exchange_on_behalf_of_a_person(known):
    token = verify(known, alices_files(known), required_scopes=["read", "write"])
    equal(token.sub, "user:idp:alice", "the subject")
    equal(token.client_id, "assistant", "the client")
    equal(token.sub_profile, "user", "the profile")


def case_the_service_that_receives_a_token_exchanges_it_for_the_next(known):
    credential = ClientSecret(("files-api", known.secrets["files-api"]))
    context = exchange(known, credential, alices_files(known), [MAIL], "files-api")
    answer = context.access(MAIL)
    token = verify(known, answer.access_token, audience=MAIL)
    equal((token.sub, token.client_id), ("user:idp:alice", "files-api"), "who acts for whom")


def case_what_one_resource_is_denied_the_others_still_get(known):
    credential = ClientSecret(("files-api", known.secrets["files-api"]))
    context = exchange(known, credential, alices_files(known), [MAIL, PEOPLE], "files-api")
    equal(context.get_status(), "partial_error", "the status")
    context.access(MAIL)
    error = context.get_resource_error(PEOPLE)
    equal((error["code"], error["retryable"]), ("access_denied", False), "the error")
    contains(error["description"], "no-pii", "its description")


def case_web_identity_with_the_legacy_audience(known):
    context = exchange(known, web_identity(known), alices_files(known), [MAIL], "sdk")
    assert not context.has_errors(), context.get_errors()
    token = verify(known, context.access(MAIL).access_token, audience=MAIL)
    equal((token.sub, token.client_id), ("user:idp:alice", "sdk"), "who acts for whom")


def case_an_assertion_is_good_for_once(known):
    manager = web_identity(known).identity_manager
    shown = {
        "resource": FILES,
        "client_assertion_type": ASSERTION,
        "client_assertion": manager.create_client_assertion("sdk", audience=known.issuer),
    }
    with Client(known.issuer, auth=NoneAuth()) as bare:
        bare.client_credentials_grant(**shown)
        with raises(OAuthProtocolError) as caught:
            bare.client_credentials_grant(**shown)
    equal(caught.value.error, "invalid_client", "the error")
    equal(caught.value.retryable, False, "whether to try again")


def case_an_assertion_for_somebody_else_is_refused(known):
    manager = web_identity(known).identity_manager
    for audience in ("https://other.example", "sdk"):
        with Client(known.issuer, auth=NoneAuth()) as bare, raises(OAuthProtocolError) as caught:
            bare.client_credentials_grant(
                resource=FILES,
                client_assertion_type=ASSERTION,
                client_assertion=manager.create_client_assertion("sdk", audience=audience),
            )
        equal(caught.value.error, "invalid_client", f"the error for {audience}")


def case_workload_identity_passes_the_platforms_token_on(known):
    job = known.job()
    credential = WorkloadIdentity(lambda: job)
    alices = alices_files(known)
    context = exchange(known, credential, alices, [MAIL], "job")
    assert not context.has_errors(), context.get_errors()
    token = verify(known, context.access(MAIL).access_token, audience=MAIL)
    equal((token.sub, token.client_id), ("user:idp:alice", "job"), "who acts for whom")
    # The platform's token is spent now.
    context = exchange(known, credential, alices, [MAIL], "job")
    equal(context.get_resource_error(MAIL)["code"], "invalid_client", "the error")


def case_a_platforms_token_is_exchanged_without_a_client(known):
    job = {"subject_token": known.job(), "subject_token_type": JWT_TOKEN, "resource": FILES}
    with Client(known.issuer, auth=NoneAuth()) as bare:
        token = verify(known, bare.exchange_token(**job).access_token)
        equal((token.sub, token.client_id), ("job", "job"), "whom it is for")
        with raises(OAuthProtocolError) as caught:
            bare.exchange_token(**job)
    equal(caught.value.error, "invalid_request", "the error of the second time")


def case_a_wrong_secret(known):
    with raises(OAuthProtocolError) as caught:
        client(known, secret="not-the-secret").client_credentials_grant(resource=FILES)
    equal((caught.value.error, caught.value.retryable), ("invalid_client", False), "the error")


def case_denied_by_policy(known):
    with raises(OAuthProtocolError) as caught:
        client(known).client_credentials_grant(resource=PEOPLE)
    equal((caught.value.error, caught.value.retryable), ("access_denied", False), "the error")
    contains(caught.value.error_description, "no-pii", "the description")


def case_a_resource_that_nobody_registered(known):
    with raises(OAuthProtocolError) as caught:
        client(known).client_credentials_grant(resource=FILES + "/")
    equal(caught.value.error, "invalid_target", "the error")


def case_a_scope_beyond_the_resources(known):
    with raises(OAuthProtocolError) as caught:
        client(known).client_credentials_grant(resource=FILES, scope="read everything")
    equal(caught.value.error, "invalid_scope", "the error")


def case_a_token_is_not_for_whoever_picks_it_up(known):
    with raises(OAuthProtocolError) as caught:
        client(known, "urn:app:batch").exchange_token(
            subject_token=alices_files(known), resource=MAIL
        )
    equal(caught.value.error, "invalid_request", "the error")


def case_nobody_is_impersonated(known):
    # The library's substitute-user token is unsigned, and no policy can make that a proof.
    with raises(OAuthProtocolError) as caught:
        client(known).impersonate(user_identifier="user:idp:alice", resource=FILES)
    equal(caught.value.error, "invalid_request", "the error")


def case_the_verifier_refuses_another_audience(known):
    with raises(InvalidTokenError) as caught:
        verify(known, alices_files(known), audience=MAIL)
    contains(str(caught.value), "audience", "the message")


def case_the_verifier_refuses_a_missing_scope(known):
    with raises(InvalidTokenError) as caught:
        verify(known, alices_files(known), required_scopes=["delete"])
    contains(str(caught.value), "scope", "the message")


def case_the_verifier_refuses_another_issuer(known):
    token = alices_files(known)
    other = TokenVerifier("https://other.example", audience=FILES)
    with raises(InvalidTokenError) as caught:
        asyncio.run(other.verify_token(token))
    contains(str(caught.value), "issuer", "the message")


def case_the_verifier_refuses_what_was_altered(known):
    head, payload, signature = alices_files(known).split(".")
    forged = ".".join([head, payload, ("B" if signature[0] == "A" else "A") + signature[1:]])
    with raises(InvalidTokenError):
        verify(known, forged)


def case_an_issuer_by_another_name_is_not_this_one(known):
    # 127.0.0.1 and localhost are one address and two issuers; the client must not mix them up.
    other = known.issuer.replace("127.0.0.1", "localhost")
    with raises(AuthorizationServerDiscoveryError):
        Client(other, auth=BasicAuth("assistant", "x")).client_credentials_grant(resource=FILES)


if __name__ == "__main__":
    run()
