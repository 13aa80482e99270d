// The published `jose`: a resource server that verifies our tokens by our key set alone, and a client
// that signs its own assertions.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

import { SignJWT, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors, importPKCS8, jwtVerify } from 'jose'

import { EXCHANGE, FILES, ID_TOKEN, MAIL, post, run } from './cases.mjs'

const CLIENT_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

async function issued(known, more = {}) {
  const fields = { grant_type: 'client_credentials', client_id: 'assistant', resource: FILES }
  const answer = await post(known, { ...fields, client_secret: known.secrets.assistant, ...more })
  assert.ok(answer.access_token, JSON.stringify(answer))
  return answer.access_token
}

async function keySet(known) {
  const metadata = await fetch(`${known.issuer}/.well-known/oauth-authorization-server`)
  return createRemoteJWKSet(new URL((await metadata.json()).jwks_uri))
}

/** What a resource server writes: issuer, audience, type and algorithm are all pinned. */
async function verify(known, token, options = {}) {
  const pinned = { issuer: known.issuer, audience: FILES, typ: 'at+jwt', algorithms: [known.algorithm] }
  const required = ['exp', 'iat', 'jti', 'sub', 'client_id', 'scope', 'sid']
  return jwtVerify(token, await keySet(known), { ...pinned, requiredClaims: required, ...options })
}

async function assertion(known, id, audience) {
  const { pem, kid } = known.keys[id]
  const alg = id === 'signer' ? 'ES256' : 'RS256'
  return new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({ alg, kid, typ: 'client-authentication+jwt' })
    .setIssuer(id)
    .setSubject(id)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('60s')
    .sign(await importPKCS8(pem, alg))
}

const cases = {
  async 'our token verifies by our key set'(known) {
    const { payload, protectedHeader } = await verify(known, await issued(known))
    assert.equal(payload.sub, 'assistant')
    assert.equal(payload.exp - payload.iat, 300)
    assert.equal(protectedHeader.alg, known.algorithm)
    assert.ok(protectedHeader.kid)
  },

  async 'so does one on behalf of a person'(known) {
    const fields = { grant_type: EXCHANGE, subject_token: known.alice, subject_token_type: ID_TOKEN }
    const { payload } = await verify(known, await issued(known, fields))
    assert.deepEqual([payload.sub, payload.act], ['user:idp:alice', { sub: 'assistant' }])
  },

  async 'no token is for another resource, issuer or purpose'(known) {
    const token = await issued(known)
    const wrong = { audience: MAIL, issuer: `${known.issuer}/`, typ: 'JWT', subject: 'somebody' }
    for (const [name, value] of Object.entries(wrong)) {
      await assert.rejects(verify(known, token, { [name]: value }), errors.JWTClaimValidationFailed, name)
    }
    const other = known.algorithm === 'RS256' ? 'ES256' : 'RS256'
    await assert.rejects(verify(known, token, { algorithms: [other] }), errors.JOSEAlgNotAllowed)
  },

  async 'a token is over when its time is'(known) {
    const token = await issued(known)
    const { exp } = decodeJwt(token)
    await verify(known, token, { currentDate: new Date((exp - 1) * 1000) })
    await assert.rejects(verify(known, token, { currentDate: new Date(exp * 1000) }), errors.JWTExpired)
  },

  async 'an altered token does not verify'(known) {
    const [header, payload, signature] = (await issued(known)).split('.')
    const more = { ...JSON.parse(Buffer.from(payload, 'base64url')), scope: 'read write delete' }
    const forged = Buffer.from(JSON.stringify(more)).toString('base64url')
    const verified = verify(known, [header, forged, signature].join('.'))
    await assert.rejects(verified, errors.JWSSignatureVerificationFailed)
  },

  async 'a token signed by somebody else has no key in our set'(known) {
    assert.equal(decodeProtectedHeader(known.alice).kid, 'idp-ES256')
    await assert.rejects(verify(known, known.alice, { algorithms: ['ES256'] }), errors.JWKSNoMatchingKey)
  },

  async 'assertions that it signs'(known) {
    const fields = { grant_type: 'client_credentials', resource: FILES, client_assertion_type: CLIENT_ASSERTION }
    for (const id of ['signer', 'sdk']) {
      const shown = { ...fields, client_assertion: await assertion(known, id, known.issuer) }
      const { access_token } = await post(known, shown)
      assert.equal((await verify(known, access_token)).payload.sub, id)
      assert.equal((await post(known, shown)).error, 'invalid_client', 'it is good for once')
    }
    const elsewhere = await assertion(known, 'signer', 'https://other.example')
    assert.equal((await post(known, { ...fields, client_assertion: elsewhere })).error, 'invalid_client')
  },
}

await run(cases)
