// Runs the cases of a script against the service that a description names.
//
//     node SCRIPT.mjs DESCRIPTION.json
//
// A case is a function that gets the description and fails by throwing. One line is printed a case,
// and the exit code is 1 where one failed.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'

export const FILES = 'https://files.example/api'
export const MAIL = 'https://mail.example'
export const PEOPLE = 'https://people.example'
export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token'
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

/** Posts a form to the token endpoint, for scripts about a library that has no client. */
export async function post(known, fields) {
  const body = new URLSearchParams(fields)
  const answer = await fetch(`${known.issuer}/oauth/token`, { method: 'POST', body })
  return answer.json()
}

/** A token of the platform for jobs that nobody has shown yet. */
export function job(known) {
  const token = known.jobs.pop()
  assert.ok(token, 'there are no more tokens of jobs')
  return token
}

/** Runs the cases in the order they are written in. */
export async function run(cases) {
  const known = JSON.parse(await readFile(process.argv[2], 'utf8'))
  for (const [name, test] of Object.entries(cases)) {
    try {
      await test(known)
      console.log(`ok      ${name}`)
    } catch (error) {
      process.exitCode = 1
      console.log(`FAILED  ${name}`, error)
    }
  }
}
