// A Vercel function that calls an API on its own behalf. No secret is stored in the project.

const WRIT = process.env.WRIT ?? 'https://auth.example.com'
const API = process.env.STATUS_API ?? 'https://status.example.com'

export async function GET(request) {
  const token = await writToken(request, { resource: 'https://status.example.com', scope: 'read' })
  const answer = await fetch(API, { headers: { authorization: `Bearer ${token}` } })
  return Response.json(await answer.json(), { status: answer.status })
}

/** A token of Writ's for one resource, good for minutes. */
async function writToken(request, wanted) {
  // Functions find who they are in this header; builds, and a computer after `vercel env pull`, in the variable.
  const own = request.headers.get('x-vercel-oidc-token') ?? process.env.VERCEL_OIDC_TOKEN
  // That one is for the whole team, so anybody it is shown to could show it on. Have one made for Writ alone.
  const proof = await ask('https://oidc.vercel.com/~token', {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: own, aud: WRIT }),
  })
  const issued = await ask(`${WRIT}/oauth/token`, {
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: proof.token,
      ...wanted,
    }),
  })
  return issued.access_token
}

async function ask(url, options) {
  const answer = await fetch(url, { method: 'POST', ...options })
  const body = await answer.json()
  if (!answer.ok) throw new Error(`${url}: ${body.error}: ${body.error_description}`)
  return body
}
