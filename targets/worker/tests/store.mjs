// For tests: the objects themselves, without the Worker that is usually in front of them. A request
// to /PARTITIONS/PATH or /INDEX/PATH goes to the object that its header `object` names, as it is.
export default {
  fetch(request, env) {
    const [, binding, path] = new URL(request.url).pathname.split('/');
    const stub = env[binding].getByName(request.headers.get('object'));
    return stub.fetch(new Request(`https://object/${path}`, request));
  },
};
