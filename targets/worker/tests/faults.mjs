// For tests: what stands between the Worker and a binding, and spoils calls as the file WRIT_FAULTS
// says. It is one JSON object, read at every call: which call, and what becomes of it.
//
//   commit, read, enter, list, sweep (objects); get, put (KV): every such call, in one of these ways:
//     refuse            it fails at once, and nothing happened
//     slow              it is made only when nobody waits for it any more
//     late              it is made, and answered when nobody waits any more
//     lost              it is made, and fails
//     empty             (get, put) KV knows nothing, and keeps nothing
//     { instead: TEXT } (get) KV has this and nothing else
//   store: { call, times, does, millis }: a call to a partition, counted from 1 since the file last changed, and
//     those after it, `times` in all (1, where it is absent); `millis` is how long it is slow or late. How many
//     were made is in the file WRIT_FAULTS.made
const LONG = 7_000;
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

async function spoiled(env, name, call) {
  const fault = await (await env.FAULTS.fetch(`http://faults/${name}`)).json();
  const { does = fault, millis = LONG } = fault;
  if (does === 'refuse') throw new Error('overloaded, by a test');
  if (does === 'empty') return null;
  if (fault.instead) return new TextEncoder().encode(fault.instead).buffer;
  if (does === 'slow') await pause(millis);
  const answer = await call();
  if (does === 'late') await pause(millis);
  if (does === 'lost') throw new Error('the connection was lost, by a test');
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
