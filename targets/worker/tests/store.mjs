// For tests: what lies behind the Worker, without the Worker that is usually in front of it.
//
//   /PARTITIONS/PATH, /INDEX/PATH   the object that the header `object` names, as it is
//   /SIGNATURES/ALGORITHM           WebCrypto: of a list of [key, message, signature], what each verifies as
export default {
  fetch(request, env) {
    const [, binding, path] = new URL(request.url).pathname.split('/');
    if (binding === 'SIGNATURES') return signatures(path, request);
    const stub = env[binding].getByName(request.headers.get('object'));
    return stub.fetch(new Request(`https://object/${path}`, request));
  },
};

// Calls WebCrypto just as src/crypto.rs does. What is thrown is answered by its name, and where.
async function signatures(algorithm, request) {
  const [kind, parameters] = ALGORITHMS[algorithm];
  const verdicts = [];
  for (const [key, message, signature] of await request.json()) {
    const [format, data] = key.n ? ['jwk', { kty: 'RSA', n: key.n, e: key.e }] : ['raw', bytes(key.raw)];
    let imported;
    try {
      imported = await crypto.subtle.importKey(format, data, kind, false, ['verify']);
    } catch (error) {
      verdicts.push(`import: ${error.name}`);
      continue;
    }
    try {
      verdicts.push(await crypto.subtle.verify(parameters, imported, bytes(signature), bytes(message)));
    } catch (error) {
      verdicts.push(`verify: ${error.name}`);
    }
  }
  return Response.json(verdicts);
}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));

const pkcs1 = (hash) => [{ name: 'RSASSA-PKCS1-v1_5', hash }, { name: 'RSASSA-PKCS1-v1_5' }];
const pss = (hash, saltLength) => [{ name: 'RSA-PSS', hash }, { name: 'RSA-PSS', saltLength }];
const curve = (namedCurve, hash) => [{ name: 'ECDSA', namedCurve }, { name: 'ECDSA', hash }];
const ALGORITHMS = {
  RS256: pkcs1('SHA-256'),
  RS384: pkcs1('SHA-384'),
  RS512: pkcs1('SHA-512'),
  PS256: pss('SHA-256', 32),
  PS384: pss('SHA-384', 48),
  PS512: pss('SHA-512', 64),
  ES256: curve('P-256', 'SHA-256'),
  ES384: curve('P-384', 'SHA-384'),
  EdDSA: [{ name: 'Ed25519' }, { name: 'Ed25519' }],
};
