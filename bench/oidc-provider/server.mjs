// The same exchange as Writ's, by npm's oidc-provider: a person's token verified against their issuer's
// key set, a client secret, and an access token for one resource, a JWT signed with ES256 that says `act`.
// RFC 8693 comes as an extension grant, as its documentation shows; everything is in memory. There is no
// policy, no session and no record in it: it has none.
//
//   BENCH_PACKAGES   the node_modules that tests/tools/bench installs
//   BENCH_KEYS       the key set of the persons' issuer
//   BENCH_SECRET     the secret of the client `agent`
//
// It prints `listening on http://127.0.0.1:PORT` and serves until its stdin ends.
import { createServer } from 'node:http';

const { BENCH_PACKAGES: packages, BENCH_KEYS: keys, BENCH_SECRET: secret } = process.env;
const { default: Provider, errors } = await import(`${packages}/oidc-provider/lib/index.js`);
const jose = await import(`${packages}/jose/dist/webapi/index.js`);

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const RESOURCE = 'https://api.example.com';

function getResourceServerInfo(ctx, resource) {
  if (resource !== RESOURCE) throw new errors.InvalidTarget();
  return {
    scope: 'read write',
    audience: RESOURCE,
    accessTokenTTL: 300,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'ES256' } },
  };
}

const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const signing = { ...(await jose.exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'zone-1' };
const issuers = jose.createLocalJWKSet(JSON.parse(keys));

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(origin, {
  jwks: { keys: [signing] },
  clients: [
    {
      client_id: 'agent',
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: [EXCHANGE],
      response_types: [],
      redirect_uris: [],
    },
  ],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  scopes: ['read', 'write'],
  ttl: { AccessToken: 300 },
  extraTokenClaims: (ctx) => ({ act: { sub: ctx.oidc.client.clientId } }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo,
    },
  },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
});

async function exchange(ctx) {
  const { client, params } = ctx.oidc;
  if (params.subject_token_type !== 'urn:ietf:params:oauth:token-type:id_token') {
    throw new errors.InvalidRequest('the subject token is of another type');
  }
  let person;
  try {
    const { payload } = await jose.jwtVerify(params.subject_token, issuers, {
      issuer: 'https://idp.example',
      audience: client.clientId,
      algorithms: ['ES256'],
      requiredClaims: ['sub', 'exp', 'azp'],
    });
    person = payload;
  } catch {
    throw new errors.InvalidRequest('the subject token is not valid');
  }
  if (person.azp !== client.clientId) throw new errors.InvalidRequest('the subject token is another’s');
  const info = getResourceServerInfo(ctx, params.resource);
  const scopes = (params.scope ?? '').split(' ').filter(Boolean);
  if (!scopes.every((scope) => info.scope.split(' ').includes(scope))) {
    throw new errors.InvalidScope('a scope is not defined there', params.scope);
  }
  const token = new provider.AccessToken({
    accountId: person.sub,
    client,
    gty: EXCHANGE,
    scope: scopes.join(' '),
    resourceServer: new provider.ResourceServer(params.resource, info),
  });
  ctx.oidc.entity('AccessToken', token);
  const value = await token.save();
  ctx.body = {
    access_token: value,
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: token.tokenType,
    expires_in: token.expiration,
    scope: token.scope,
  };
}

const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'scope'];
provider.registerGrantType(EXCHANGE, exchange, parameters);

server.on('request', provider.callback());
console.log(`listening on ${origin}`);
process.stdin.on('end', () => process.exit(0)).resume();
