// For tests: what stands between the Worker and a binding, and spoils calls as the file WRIT_FAULTS
// says. It is one JSON object, read at every call: which call, and what becomes of it.
//
//   calls   commit, read, enter, list, sweep (objects); get, put (KV)
//   refuse  it fails at once, and nothing happened
//   slow    it is made only when nobody waits for it any more
//   late    it is made, and answered when nobody waits any more
//   lost    it is made, and fails
//   empty   (get, put) KV knows nothing, and keeps nothing
//   { instead: TEXT }   (get) KV has this and nothing else
const LONG = 7_000;
const pause = () => new Promise((resolve) => setTimeout(resolve, LONG));

async function spoiled(env, name, call) {
  const faults = JSON.parse((await (await env.FAULTS.fetch('http://faults/')).text()) || '{}');
  const fault = faults[name];
  if (fault === 'refuse') throw new Error('overloaded, by a test');
  if (fault === 'empty') return null;
  if (fault?.instead) return new TextEncoder().encode(fault.instead).buffer;
  if (fault === 'slow') await pause();
  const answer = await call();
  if (fault === 'late') await pause();
  if (fault === 'lost') throw new Error('the connection was lost, by a test');
  return answer;
}

// The Worker's bindings know their kind by this name.
class DurableObjectNamespace {
  #env;
  constructor(env) {
    this.#env = env;
  }
  getByName(name) {
    const stub = this.#env[this.#env.NAME].getByName(name);
    return {
      fetch: (request) =>
        spoiled(this.#env, new URL(request.url).pathname.slice(1), () => stub.fetch(request)),
    };
  }
}

const copies = (env) => ({
  get: (...asked) => spoiled(env, 'get', () => env.COPIES.get(...asked)),
  put: (...asked) => spoiled(env, 'put', () => env.COPIES.put(...asked)),
});

export default function (env) {
  return env.NAME === 'COPIES' ? copies(env) : new DurableObjectNamespace(env);
}
