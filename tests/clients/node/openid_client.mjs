// The published `openid-client`: discovery, every way to authenticate, token exchange.

import assert from 'node:assert/strict'

import { createRemoteJWKSet, importPKCS8, jwtVerify } from 'jose'
import * as client from 'openid-client'

import { ACCESS_TOKEN, EXCHANGE, FILES, ID_TOKEN, JWT_BEARER, MAIL, PEOPLE, job, run } from './cases.mjs'

/** The library insists on `https`; this is its own switch for a server on loopback. */
const INSECURE = { execute: [client.allowInsecureRequests] }

async function discover(known, id, auth, algorithm = 'oauth2') {
  const options = { algorithm, ...INSECURE }
  return client.discovery(new URL(known.issuer), id, undefined, auth, options)
}

async function assistant(known, secret = known.secrets.assistant) {
  return discover(known, 'assistant', client.ClientSecretBasic(secret))
}

async function withKey(known, id, change = () => {}) {
  const { pem, kid } = known.keys[id]
  const key = await importPKCS8(pem, id === 'signer' ? 'ES256' : 'RS256')
  const options = { [client.modifyAssertion]: (_, payload) => change(payload) }
  return discover(known, id, client.PrivateKeyJwt({ key, kid }, options))
}

async function verify(known, config, token, audience = FILES) {
  const { issuer, jwks_uri } = config.serverMetadata()
  const keys = createRemoteJWKSet(new URL(jwks_uri))
  const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: [known.algorithm] })
  return payload
}

/** The library's error for an answer that says `error`. */
function refused(error, status, says = '') {
  return (thrown) => {
    assert.ok(thrown instanceof client.ResponseBodyError, thrown)
    assert.deepEqual([thrown.error, thrown.status], [error, status])
    assert.ok(thrown.error_description.includes(says), thrown.error_description)
    return true
  }
}

async function alicesFiles(known) {
  const config = await assistant(known)
  const fields = { subject_token: known.alice, subject_token_type: ID_TOKEN, resource: FILES, scope: 'read write' }
  return client.genericGrantRequest(config, EXCHANGE, fields)
}

const cases = {
  async 'discovery by RFC 8414 and by OpenID Connect'(known) {
    for (const algorithm of ['oauth2', 'oidc']) {
      const config = await discover(known, 'assistant', client.None(), algorithm)
      const found = config.serverMetadata()
      assert.equal(found.issuer, known.issuer)
      assert.ok(found.supportsPKCE() === false)
      assert.ok(found.grant_types_supported.includes(EXCHANGE))
      assert.ok(found.token_endpoint_auth_methods_supported.includes('private_key_jwt'))
    }
  },

  async 'an issuer by another name is not this one'(known) {
    const other = known.issuer.replace('127.0.0.1', 'localhost')
    const discovery = client.discovery(new URL(other), 'assistant', undefined, client.None(), INSECURE)
    await assert.rejects(discovery, { code: 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED' })
  },

  async 'Basic'(known) {
    const config = await assistant(known)
    const answer = await client.clientCredentialsGrant(config, { resource: FILES, scope: 'read write' })
    // The library writes it in lower case.
    assert.equal(answer.token_type, 'bearer')
    assert.equal(answer.expires_in, 300)
    assert.equal(answer.scope, 'read write')
    assert.equal((await verify(known, config, answer.access_token)).sub, 'assistant')
  },

  async 'Basic with an identifier and a secret that it encodes'(known) {
    const auth = client.ClientSecretBasic(known.secrets['urn:app:batch'])
    const config = await discover(known, 'urn:app:batch', auth)
    const answer = await client.clientCredentialsGrant(config, { resource: FILES })
    assert.equal((await verify(known, config, answer.access_token)).client_id, 'urn:app:batch')
  },

  async 'post'(known) {
    const config = await discover(known, 'assistant', client.ClientSecretPost(known.secrets.assistant))
    const answer = await client.clientCredentialsGrant(config, { resource: FILES })
    assert.equal(answer.scope, 'read')
  },

  async 'private_key_jwt by ES256 and by RS256'(known) {
    for (const id of ['signer', 'sdk']) {
      const config = await withKey(known, id)
      const answer = await client.clientCredentialsGrant(config, { resource: FILES })
      assert.equal((await verify(known, config, answer.access_token)).sub, id)
    }
  },

  async 'an assertion is good for once'(known) {
    const config = await withKey(known, 'signer', (payload) => (payload.jti = `openid-client-${known.issuer}`))
    await client.clientCredentialsGrant(config, { resource: FILES })
    await assert.rejects(client.clientCredentialsGrant(config, { resource: FILES }), refused('invalid_client', 401))
  },

  async 'an assertion for another server'(known) {
    for (const audience of ['https://other.example', 'signer', [known.issuer, 'https://other.example']]) {
      const config = await withKey(known, 'signer', (payload) => (payload.aud = audience))
      await assert.rejects(client.clientCredentialsGrant(config, { resource: FILES }), refused('invalid_client', 401))
    }
  },

  async 'the legacy audience, where the application has it'(known) {
    const legacy = (payload) => (payload.aud = `${known.issuer}/oauth/token`)
    await client.clientCredentialsGrant(await withKey(known, 'sdk', legacy), { resource: FILES })
    const other = client.clientCredentialsGrant(await withKey(known, 'signer', legacy), { resource: FILES })
    await assert.rejects(other, refused('invalid_client', 401))
  },

  async 'token exchange on behalf of a person'(known) {
    const config = await assistant(known)
    const answer = await alicesFiles(known)
    assert.equal(answer.issued_token_type, ACCESS_TOKEN)
    const claims = await verify(known, config, answer.access_token)
    assert.deepEqual([claims.sub, claims.act, claims.scope], ['user:idp:alice', { sub: 'assistant' }, 'read write'])
  },

  async 'a second hop'(known) {
    const config = await discover(known, 'files-api', client.ClientSecretBasic(known.secrets['files-api']))
    const first = await alicesFiles(known)
    const fields = { subject_token: first.access_token, subject_token_type: ACCESS_TOKEN, resource: MAIL }
    const answer = await client.genericGrantRequest(config, EXCHANGE, fields)
    const claims = await verify(known, config, answer.access_token, MAIL)
    assert.deepEqual(claims.act, { sub: 'files-api', act: { sub: 'assistant' } })
  },

  async 'a token of a platform, once'(known) {
    const config = await discover(known, 'job', client.None())
    const fields = { assertion: job(known), resource: FILES }
    const answer = await client.genericGrantRequest(config, JWT_BEARER, fields)
    assert.equal((await verify(known, config, answer.access_token)).sub, 'job')
    await assert.rejects(client.genericGrantRequest(config, JWT_BEARER, fields), refused('invalid_grant', 400))
  },

  async 'refreshing'(known) {
    const config = await assistant(known)
    const first = (await alicesFiles(known)).refresh_token
    const second = await client.refreshTokenGrant(config, first)
    const { sub, act } = await verify(known, config, second.access_token)
    assert.deepEqual([sub, act], ['user:idp:alice', { sub: 'assistant' }])
    // An answer that got lost is asked for again.
    const again = await client.refreshTokenGrant(config, first)
    const third = await client.refreshTokenGrant(config, again.refresh_token, { scope: 'read' })
    assert.equal(third.scope, 'read')
    for (const spent of [first, third.refresh_token]) {
      await assert.rejects(client.refreshTokenGrant(config, spent), refused('invalid_grant', 400))
    }
  },

  async 'a refresh token is revoked'(known) {
    const config = await assistant(known)
    const { refresh_token } = await alicesFiles(known)
    await client.tokenRevocation(config, refresh_token, { token_type_hint: 'refresh_token' })
    await assert.rejects(client.refreshTokenGrant(config, refresh_token), refused('invalid_grant', 400))
  },

  async 'DPoP: a token that is bound to a key, and its exchange'(known) {
    const config = await assistant(known)
    const withKeyOf = async (alg) => {
      return { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg)) }
    }
    for (const alg of ['ES256', 'RS256', 'PS256']) {
      assert.ok(config.serverMetadata().dpop_signing_alg_values_supported.includes(alg))
      const own = await withKeyOf(alg)
      const root = await client.clientCredentialsGrant(config, { audience: 'assistant' }, own)
      assert.equal(root.token_type, 'dpop')
      const fields = { subject_token: root.access_token, subject_token_type: ACCESS_TOKEN, resource: FILES }
      const answer = await client.genericGrantRequest(config, EXCHANGE, fields, own)
      assert.equal(answer.token_type, 'dpop')
      const claims = await verify(known, config, answer.access_token)
      assert.equal(claims.cnf.jkt, await own.DPoP.calculateThumbprint())
      const bare = client.genericGrantRequest(config, EXCHANGE, fields)
      await assert.rejects(bare, refused('invalid_request', 400))
      const another = client.genericGrantRequest(config, EXCHANGE, fields, await withKeyOf(alg))
      await assert.rejects(another, refused('invalid_request', 400))
    }
  },

  async 'a wrong secret'(known) {
    // With Basic the answer is a challenge, which the library reports as one of its own kind.
    const basic = client.clientCredentialsGrant(await assistant(known, 'not-the-secret'), { resource: FILES })
    await assert.rejects(basic, (thrown) => {
      assert.ok(thrown instanceof client.WWWAuthenticateChallengeError, thrown)
      assert.deepEqual([thrown.status, thrown.cause[0].scheme], [401, 'basic'])
      return true
    })
    const config = await discover(known, 'assistant', client.ClientSecretPost('not-the-secret'))
    await assert.rejects(client.clientCredentialsGrant(config, { resource: FILES }), refused('invalid_client', 401))
  },

  async 'denied by policy'(known) {
    const config = await assistant(known)
    const denied = refused('access_denied', 400, 'no-pii')
    await assert.rejects(client.clientCredentialsGrant(config, { resource: PEOPLE }), denied)
  },

  async 'a resource that nobody registered, a scope that it does not have'(known) {
    const config = await assistant(known)
    const elsewhere = client.clientCredentialsGrant(config, { resource: 'https://nowhere.example' })
    await assert.rejects(elsewhere, refused('invalid_target', 400))
    const everything = client.clientCredentialsGrant(config, { resource: FILES, scope: 'everything' })
    await assert.rejects(everything, refused('invalid_scope', 400))
  },

  async 'a subject token of somebody else'(known) {
    const auth = client.ClientSecretBasic(known.secrets['urn:app:batch'])
    const config = await discover(known, 'urn:app:batch', auth)
    const fields = { subject_token: known.alice, subject_token_type: ID_TOKEN, resource: FILES }
    await assert.rejects(client.genericGrantRequest(config, EXCHANGE, fields), refused('invalid_request', 400))
  },
}

await run(cases)
